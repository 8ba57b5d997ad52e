"""The benchmarks' tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.frame.timing import Ratio


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Names on the left without a heading, figures on the right."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    result.add_column("", no_wrap=True)
    for column in columns:
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(*row)
    return result


def ratio_table(title: str, ratios: Mapping[str, Ratio]) -> Table:
    """Ratios of time with their spread."""
    rows = [
        (name, f"{r.of_minima:.3f}", f"{r.median:.3f}", f"{r.low:.2f} .. {r.high:.2f}")
        for name, r in ratios.items()
    ]
    return table(title, ("of minima", "median", "quartiles"), rows)
