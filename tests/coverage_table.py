"""What the tests executed, over all environments: a table of packages and their rooms.

    python tests/environments.py --coverage && python tests/coverage_table.py

A framework's adapter is executed in the environments that have it, so no single run says how much
of it is tested. Pages with every line: build/coverage/html.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def table(files: dict[str, dict[str, Any]]) -> str:
    """Markdown: statements and branches, and how many percent of them were executed.

    Args:
        files: path -> what coverage's json report says of it.
    """
    sums: dict[str, Counter[str]] = {}
    for path, file in files.items():
        package, *rooms = Path(path).parts
        for name in (package, *([f"{package}/{rooms[0]}"] if len(rooms) > 1 else [])):
            figures = {figure: file["summary"][figure] for figure in FIGURES}
            sums.setdefault(name, Counter()).update(figures)
    rows = ["| | statements | % | branches | % |", "|---|---|---|---|---|"]
    for name, found in sorted(sums.items()):
        lines, done, branches, taken = (found[figure] for figure in FIGURES)
        shown = name if "/" in name else f"**{name}**"
        rows.append(
            f"| {shown} | {lines} | {_percent(done, lines)} | {branches} "
            f"| {_percent(taken, branches)} |"
        )
    return "\n".join(rows)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def main() -> None:
    folder = ROOT / "build" / "coverage"
    report, pages = folder / "report.json", folder / "html"
    for step in (["combine", "--keep"], ["json", "-o", str(report)], ["html", "-d", str(pages)]):
        subprocess.run([sys.executable, "-m", "coverage", *step, "-q"], cwd=ROOT, check=True)
    print(table(json.loads(report.read_text())["files"]))


if __name__ == "__main__":
    main()
