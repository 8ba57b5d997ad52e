"""What a study gives the page: sentences, tables, and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from benchmarks.accuracy.run import Run
from benchmarks.accuracy.studies.study import Budget, Records, Study


class Section(NamedTuple):
    """A chapter of docs/evidence.md.

    Attributes:
        title: its heading.
        body: Markdown.
        answers: its sentences among the first lines.
        draw: makes its picture; None where there is nothing to draw yet.
    """

    title: str
    body: str
    answers: list[str]
    draw: Callable[[], Figure] | None


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def answer(question: str, verdict: str, figures: str) -> str:
    """A sentence of the first lines: what was asked and found, then the figures."""
    return f"**{question}{verdict and ': '}{verdict}.** {figures}"


def budget(study: Study, records: Records) -> tuple[str, Budget]:
    """The size of the study of which most is there; quick ones are never recorded."""
    sizes = [size for size in study.budgets if size != "quick"]

    def there(size: str) -> int:
        return sum(run in records for run in set(study.runs(study.budgets[size], records)))

    size = max(reversed(sizes), key=there)
    return size, study.budgets[size]


def caution(size: str, example: Run) -> str:
    """What a sentence about a study's smaller size must begin with."""
    if size == "full":
        return ""
    return f"Preliminary ({example.images:,} training images, {example.epochs} epochs): "


def of_size(records: Records, example: Run) -> Records:
    """Those that saw as many images as often."""
    size = (example.images, example.epochs)
    return {run: each for run, each in records.items() if (run.images, run.epochs) == size}


def state(study: Study, size: str, records: Records) -> str:
    """How much of the study the records hold, and what it cost."""
    wanted = set(study.runs(study.budgets[size], records))
    found = [records[run] for run in wanted if run in records]
    hours = sum(record["seconds"] for record in found) / 3600
    if not found:
        return f"`--study {study.name} --size {size}`: no run is there yet."
    machines: dict[str, set[str]] = {}
    for record in found:
        machines.setdefault(record["machine"], set()).update(record["versions"].split(", "))
    where = "; ".join(
        f"{name}, {', '.join(sorted(packages))}" for name, packages in sorted(machines.items())
    )
    preliminary = "" if size == "full" else "A preliminary size, smaller than the study is meant. "
    return (
        f"{preliminary}`--study {study.name} --size {size}`: {len(found)} of the {len(wanted)} "
        f"runs wanted so far are there, {hours:.1f} CPU hours ({where})."
    )
