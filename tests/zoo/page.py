"""The zoos' reports as a page: python -m tests.zoo.page build/zoo-*.csv > docs/zoo.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from tests.zoo.report import NOT_RUN, PLAIN, Row, read

HEAD = """# Other people's networks

`make test-zoo` builds networks of other people's libraries with random weights, and does the same
with each:

1. `convert`. The output must not change by a bit.
2. One step of training. Every D must move whose W does.
3. A random D, then `fold`. The output must stay, as far as rounding goes. How far that is, the
   plain network itself tells: the last digit of each of its kernels is changed at random, and
   folding may move the output 16 times as far as that does.
4. The folded weights into a network that was never converted, strictly. The outputs must be the
   same bit for bit.

A step at which the framework fails with the plain network is told apart. Differences are relative
to the largest output. The tables are made by `python -m tests.zoo.page` from the reports of the
runs (`build/zoo-*.csv`).
"""

COLUMNS = ("network", "parameters", "converted", "moved D's", "by convert", "by fold",
           "by the last digit", "strict reload", "result")  # fmt: skip


def page(rows: Iterable[Row]) -> str:
    """All zoos, a table each."""
    parts = [HEAD]
    for zoo, of_zoo in groupby(rows, lambda row: row.zoo):
        parts.append(_section(zoo, list(of_zoo)))
    return "\n".join(parts)


def _section(zoo: str, rows: list[Row]) -> str:
    fine = sum(row.result == "ok" for row in rows)
    plain = sum(row.result.startswith(PLAIN) for row in rows)
    none = sum(row.result == "nothing to convert" for row in rows)
    counts = [f"{fine} of {len(rows)} networks are converted, trained, folded and loaded"]
    counts += [f"{plain} fail as plain networks"] * bool(plain)
    counts += [f"{none} have nothing to convert"] * bool(none)
    waiting = sum(row.result == NOT_RUN for row in rows)
    counts += [f"{waiting} were not run"] * bool(waiting)
    failed = len(rows) - fine - plain - none - waiting
    counts += [f"{failed} fail"] * bool(failed)
    where = "; ".join(sorted({f"{row.versions}, on {row.machine}" for row in rows if row.machine}))
    lines = [f"## {zoo}", "", f"{'; '.join(counts)}. {where}.", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---|" + "--:|" * (len(COLUMNS) - 2) + "---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    if still := [row.name for row in rows if row.result == "ok" and not row.nudged]:
        lines += ["", f"Of {', '.join(still)} the third step says nothing: with random weights the "
                      "last digit of the kernels does not reach the output."]  # fmt: skip
    if copied := [row for row in rows if row.copied]:
        lines += ["", "Changed in place, as the library cannot copy them (here, their backbones):"]
        lines += [""] + [f"* {row.name}: {row.copied}" for row in copied]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    result = " ".join(row.result.split())[:150].replace("|", "\\|").replace("<", "&lt;")
    if row.result != "ok":
        return (row.name, f"{row.parameters:,}" if row.parameters else "", *[""] * 6, result)
    converted, figures = f"{row.converted} of {row.convolutions}", (row.folded, row.nudged)
    return (row.name, f"{row.parameters:,}", converted, str(row.moved), f"{row.unchanged:g}",
            *(f"{each:.1e}" for each in figures), f"{row.reloaded:g}", result)  # fmt: skip


if __name__ == "__main__":
    print(page(row for name in sys.argv[1:] for row in read(Path(name))), end="")  # noqa: T201
