"""The table of docs/integrations.md, from the records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.accuracy.evidence.section import table
from benchmarks.int8.row import Row

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results" / "int8"
PAGE = ROOT / "docs" / "integrations.md"
BEGIN = "<!-- from the records: python -m benchmarks.int8 -->"
END = "<!-- end of the records -->"
HEADS = ("", "seeds", "plain", "int8", "folded", "int8")


def recorded() -> list[Row]:
    """All of them, in the order of the files' names."""
    paths = sorted(RECORDS.glob("*.jsonl"))
    return [Row(**json.loads(line)) for path in paths for line in path.read_text().splitlines()]


def tools(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each framework and tool."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row.framework}: {row.tool}", []).append(row)
    return found


def text(rows: Sequence[Row]) -> str:
    """Means over the seeds, of test accuracies in percent."""
    lines = []
    for tool, each in tools(rows).items():
        means = [fmean(row[column] for row in each) for column in range(3, 7)]
        lines.append((tool, str(len(each)), *(f"{mean:.2f}" for mean in means)))
    return table(HEADS, lines)


def with_table(page: str, text: str) -> str:
    """The page with its table replaced.

    Raises:
        ValueError: the marks are not there, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must hold {BEGIN} and {END} once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def write() -> None:
    """Write the page anew."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, text(recorded())), encoding="utf-8")
