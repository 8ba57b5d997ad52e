"""The tables of docs/performance.md, made of the records.

python -m benchmarks.speed.page
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.speed import records
from benchmarks.speed.records import Record
from benchmarks.speed.tables import AT_OPTIMIZER, OFFICIAL, OURS, TABLES, WITHOUT

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks.speed.page -->\n", "<!-- end -->\n"
COLUMNS = {
    OURS: "DO-Conv",
    OURS + WITHOUT: "without the kernel",
    AT_OPTIMIZER: "at the optimizer",
    AT_OPTIMIZER + WITHOUT: "without the kernel",
    OFFICIAL: "official way",
}


def written(page: str, found: list[Record]) -> str:
    """The page with its tables in place."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n".join(_lines(found)) + "\n" + END + after


def _lines(found: list[Record]) -> Iterable[str]:
    machines = dict.fromkeys(f"{each['machine']}" for each in found)
    for machine in machines:
        natives = dict.fromkeys(each["native"] for each in found if each["machine"] == machine)
        versions = dict.fromkeys(each["versions"] for each in found if each["machine"] == machine)
        yield f"* {machine}; {', '.join(natives)}; {'; '.join(versions)}"
    yield ""
    yield f"| training step | threads | {' | '.join(COLUMNS.values())} |"
    yield "|---" * (2 + len(COLUMNS)) + "|"
    for table in TABLES:
        key = (table.framework, str(table.work), table.threads)
        own = [r for r in found if (r["framework"], r["work"], r["threads"]) == key]
        if own:
            cells = (_range(own, way) for way in COLUMNS)
            yield f"| {table.name} | {table.threads} | {' | '.join(cells)} |"


def _range(found: list[Record], way: str) -> str:
    """From the least to the greatest that a machine's minima or median say."""
    ratios = [each["ratios"][way] for each in found if way in each["ratios"]]
    if not ratios:
        return ""
    figures = [each[name] for each in ratios for name in ("of_minima", "median")]
    low, high = f"{min(figures):.2f}", f"{max(figures):.2f}"
    return low if low == high else f"{low}..{high}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), records.read()))
