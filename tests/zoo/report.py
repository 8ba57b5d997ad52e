"""A zoo's report: a row for each network, of which each has a process of its own.

Whatever ends that process, the framework too, ends one row only. The report is written row by row,
and an interrupted program goes on from it with ``--resume``.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import platform
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from doconv_core.files.atomic import replacing
from tests.zoo.examination import Zoo, examine

LIMIT = 900
"""Seconds of a processor for one network."""

PATIENCE = 3600
"""Seconds by the clock, for one that computes nothing any more."""

PLAIN = "plain: "
"""How a result begins that is about the plain network: no fault of ours."""

DONE = ("ok", "nothing to convert")
"""The results that need no second try."""

NOT_RUN = "not run"
"""The result of a network that an interrupted program has not come to."""

PROCESSES = multiprocessing.get_context("fork")  # what is imported need not be imported again


@dataclass
class Row:
    """What became of one network.

    Attributes:
        zoo: the library.
        name: the network.
        result: "ok", "nothing to convert", what the framework itself cannot do with the plain
            network ("plain: ..."), or what went wrong.
        parameters: of the plain network.
        convolutions: how many it has.
        converted: how many of them are over-parameterized.
        left: reasons why the rest is not, with counts.
        copied: why convert cannot copy the network, but must change it in place.
        unchanged: the largest difference that converting made to an output; must be 0.
        moved: how many of the D's one step of training moved.
        folded: the largest difference that folding made, relative to the largest output.
        nudged: the same, of the plain network when the last digit of its kernels is changed.
        reloaded: the largest one between the folded network and the untouched one that has loaded
            its weights, strictly; must be 0.
        seconds: for everything.
        versions: of the packages.
        machine: the processor.
    """

    zoo: str
    name: str
    result: str = ""
    parameters: int = 0
    convolutions: int = 0
    converted: int = 0
    left: str = ""
    copied: str = ""
    unchanged: float = 0
    moved: int = 0
    folded: float = 0
    nudged: float = 0
    reloaded: float = 0
    seconds: float = 0
    versions: str = ""
    machine: str = ""

    @property
    def is_fault(self) -> bool:
        return self.result not in DONE and not self.result.startswith(PLAIN)


def read(report: Path) -> list[Row]:
    """A report's rows."""
    kinds = {field.name: {"int": int, "float": float}.get(str(field.type), str)
             for field in fields(Row)}  # fmt: skip
    with report.open(newline="") as file:
        return [Row(**{key: kinds[key](value) for key, value in row.items()})
                for row in csv.DictReader(file)]  # fmt: skip


def main(zoo: Zoo, description: str | None, choose: Any = None) -> int:
    """Write the report; the exit status says whether a network failed.

    Args:
        zoo: of which networks.
        description: of the program.
        choose: a parser's further arguments: a function of it, or none.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("report", type=Path)
    parser.add_argument("--only", default="", help="a part of the names")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are ok")
    if choose is not None:
        choose(parser)
    given = parser.parse_args()
    networks = [each for each in zoo.networks(given) if given.only in f"{each.zoo} {each.name}"]
    rows = {(each.zoo, each.name): Row(each.zoo, each.name, NOT_RUN) for each in networks}
    if given.resume and given.report.exists():
        rows |= {(row.zoo, row.name): row for row in read(given.report)}
    failed = 0
    for number, network in enumerate(networks, 1):
        if rows[network.zoo, network.name].result in DONE:
            continue
        row = rows[network.zoo, network.name] = _in_process(zoo, network)
        _write(given.report, rows.values())
        shown = (row.name, row.result, f"{row.moved}/{row.converted}/{row.convolutions}",
                 f"{row.unchanged:g} {row.folded:.1e} {row.nudged:.1e} {row.reloaded:g}",
                 f"{row.seconds:.0f} s")  # fmt: skip
        print(f"[{number}/{len(networks)}]", *shown, sep="  ", flush=True)  # noqa: T201
        failed += row.is_fault
    print(f"{failed} failed")  # noqa: T201
    return min(failed, 1)


def _write(report: Path, rows: Iterable[Row]) -> None:
    report.parent.mkdir(parents=True, exist_ok=True)
    with replacing(report) as whole, whole.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        table.writerows(map(asdict, rows))


def _in_process(zoo: Zoo, network: Any) -> Row:
    """One network's row, whatever happens to its process."""
    start = time.monotonic()
    row = Row(network.zoo, network.name, versions=_versions(zoo.packages), machine=_machine())
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_child, args=(zoo, network, row, sender))
    process.start()
    sender.close()  # so that the pipe ends with the child
    ended = ""
    try:
        while receiver.poll(max(start + PATIENCE - time.monotonic(), 0)):
            row = receiver.recv()
        process.kill()
        ended = f": more than {PATIENCE} s"
    except EOFError:
        pass
    process.join()
    row.result += ended or (f": exit status {process.exitcode}" if process.exitcode else "")
    row.seconds = round(time.monotonic() - start, 1)
    return row


def _child(zoo: Zoo, network: Any, row: Row, sender: Any) -> None:
    def reached(result: str) -> None:
        row.result = result
        sender.send(row)

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
    warnings.simplefilter("ignore")
    try:
        with TemporaryDirectory() as folder:
            examine(zoo, network, row, reached, folder)
    except Exception as error:
        traceback.print_exc()
        lines = map(str.strip, str(error).splitlines())  # of MXNet's, with its own traceback
        said = " ".join(line for line in lines if not line.startswith(("Traceback", "File ")))[:200]
        reached(f"{row.result}: {type(error).__name__}: {said}")
    sys.stdout.flush()
    sys.stderr.flush()
    sender.close()
    os._exit(0)  # a framework's threads did not come along, and may be waited for


def _versions(packages: Iterable[str]) -> str:
    return ", ".join(f"{each} {metadata.version(each)}" for each in packages)


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
