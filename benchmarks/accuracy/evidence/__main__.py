"""Write docs/evidence.md, its pictures and README's lines from the records.

python -m benchmarks.accuracy.evidence
"""

from __future__ import annotations

import matplotlib.pyplot as plt

from benchmarks.accuracy.evidence import page
from doconv_core.files.atomic import replacing


def main() -> None:
    evidence = page.made()
    page.PICTURES.mkdir(parents=True, exist_ok=True)
    for name, section in evidence.sections.items():
        if section.draw:
            figure = section.draw()
            with replacing(page.PICTURES / f"{name}.png") as temporary:
                # The digest tells a test which records a picture was drawn from.
                metadata = {"Description": evidence.digests[name], "Software": None}
                figure.savefig(temporary, dpi=120, format="png", metadata=metadata)
            plt.close(figure)
    for path, text in (
        (page.PAGE, evidence.page),
        (page.README, page.with_lines(page.README.read_text(), evidence.lines)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text)
    print(f"written: {page.PAGE}, {page.PICTURES}, {page.README}")


if __name__ == "__main__":
    main()
