"""What the tests executed, over all environments: a table of packages and their rooms.

    python tests/environments.py --coverage && python tests/coverage_table.py

A framework's adapter is executed in the environments that have it, so no single run says how much
of it is tested. Writes docs/coverage.md, with a note for every room below ENOUGH; a room that has
none is an error. Pages with every line: build/coverage/html.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
ENOUGH = 95
"""Percent of branches from which on a room speaks for itself."""

NOTES = {
    "doconv_gluon/tensors": "MXNet calls the compiled kernel's operator from threads of its own, "
    "which coverage.py does not see; `tests/gluon_adapter/test_native.py` holds what it computes.",
    "doconv_tf_keras/layers": "Channels-first convolutions, which TensorFlow has on GPUs alone; "
    "and functions that it traces, which it rewrites before they run.",
    "doconv_torch/tensors": "What torch.compile and TorchScript have made of the code is no longer "
    "Python when it runs, and two branches are for devices other than the CPU.",
}
"""Room -> why not more of its branches are executed."""

INTRODUCTION = """# Coverage

What the tests execute of the packages, in statements and in branches, over all environments of
`make test`, with what runs in processes of its own. `make coverage` writes this page; it is of
{date}, on {machine}. Rooms whose branches are below {enough} % are explained below the table.
"""
FIGURES = ("num_statements", "covered_lines", "num_branches", "covered_branches")


Sums = dict[str, Counter[str]]


def sums_of(files: dict[str, dict[str, Any]]) -> Sums:
    """Package or room -> FIGURES; ``files`` are path -> what coverage's json report says of it."""
    sums: Sums = {}
    for path, file in files.items():
        package, *rooms = Path(path).parts
        for name in (package, *([f"{package}/{rooms[0]}"] if len(rooms) > 1 else [])):
            figures = {figure: file["summary"][figure] for figure in FIGURES}
            sums.setdefault(name, Counter()).update(figures)
    return sums


def table(sums: Sums) -> str:
    """Markdown: statements and branches, and how many percent of them were executed."""
    rows = ["| | statements | % | branches | % |", "|---|---|---|---|---|"]
    for name, found in sorted(sums.items()):
        lines, done, branches, taken = (found[figure] for figure in FIGURES)
        shown = name if "/" in name else f"**{name}**"
        rows.append(
            f"| {shown} | {lines} | {_percent(done, lines)} | {branches} "
            f"| {_percent(taken, branches)} |"
        )
    return "\n".join(rows)


def notes(sums: Sums) -> str:
    """Markdown: why the rooms below ENOUGH are there.

    Raises:
        SystemExit: one of them has no note, or a note is of a room that needs none.
    """
    low = {
        name
        for name, found in sums.items()
        if "/" in name and 100 * found["covered_branches"] < ENOUGH * found["num_branches"]
    }
    if low != NOTES.keys():
        alone, idle = sorted(low - NOTES.keys()), sorted(NOTES.keys() - low)
        raise SystemExit(f"below {ENOUGH} % without a note: {alone}; notes to remove: {idle}")
    return "\n".join(f"* `{name}`: {NOTES[name]}" for name in sorted(low))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


def main() -> None:
    folder = ROOT / "build" / "coverage"
    report, pages = folder / "report.json", folder / "html"
    for step in (["combine", "--keep"], ["json", "-o", str(report)], ["html", "-d", str(pages)]):
        subprocess.run([sys.executable, "-m", "coverage", *step, "-q"], cwd=ROOT, check=True)
    sums = sums_of(json.loads(report.read_text())["files"])
    print(table(sums))
    date = datetime.date.today().isoformat()
    introduction = INTRODUCTION.format(date=date, machine=_machine(), enough=ENOUGH)
    PAGE.write_text(f"{introduction}\n{table(sums)}\n\n{notes(sums)}\n")


if __name__ == "__main__":
    main()
