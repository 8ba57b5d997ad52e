"""Thousands of steps and conversions: memory stays, and so do the bits.

python -m tests.soak [--steps 4000] [torch keras gluon]

Each framework has a process of its own. A line for each check; the program fails where one does.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.soak.subject import Subject

FRAMEWORKS = ("torch", "keras", "gluon")
ROOT = Path(__file__).parents[2]
LIMIT = 1800
"""Seconds for one framework."""

FLAT = 8.0
"""MiB that a process may grow by from the first quarter of a check to its end."""

THREADS = 16


class FailedError(Exception):
    """A check."""


def resident() -> float:
    """MiB of this process's memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(act: Callable[[], object], times: int) -> float:
    """Act again and again; by how many MiB the process grew."""
    before = resident()
    for _ in range(times):
        act()
    return resident() - before


def flat(act: Callable[[], object], times: int, control: Callable[[], object] | None = None) -> str:
    """It does not grow since the first quarter, or no more than what the framework itself keeps.

    Both in turn: what the process takes depends on what it has taken before.
    """
    growth(act, times // 4)
    grown = allowed = 0.0
    for _ in range(3):
        if control is not None:
            allowed += growth(control, times // 4)
        grown += growth(act, times // 4)
    if grown > max(allowed, 0.0) + FLAT:
        raise FailedError(f"grew by {grown:.1f} MiB in {times} times, {allowed:.1f} of it allowed")
    return f"{times} times, {grown:+.1f} MiB" + (f", without us {allowed:+.1f}" if control else "")


def same(found: list[bytes], expected: bytes) -> str:
    """All are the same bits."""
    different = sum(each != expected for each in found)
    if different or not found:
        raise FailedError(f"{different} of {len(found)} differ")
    return f"{len(found)} times the same bits"


def checks(make: Callable[[], Subject], steps: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each check with its name."""
    subject, again = make(), make()
    yield "training", lambda: flat(subject.step, steps)

    def repeated() -> str:
        for _ in range(steps):
            again.step()
        return same([again.weights()], subject.weights())

    yield "trained again", repeated
    expected = subject.predict()
    yield "evaluation", lambda: flat(subject.predict, steps)

    def by_threads() -> str:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda _: subject.predict(), range(steps // 4)))
        return same(found, expected)

    yield f"evaluation by {THREADS} threads", by_threads
    for name, predict in subject.loaders().items():
        yield name, lambda predict=predict: same(predict(), expected)
    cycles = steps // 10 // subject.cost

    def keeping_none(act: Callable[[], object], control: Callable[[], object], times: int) -> str:
        act()
        before = subject.arrays()
        said = flat(act, times, control)
        kept = subject.arrays() - before
        if kept:
            raise FailedError(f"{kept} arrays more than before")
        return f"{said}, no array kept"

    def cycled() -> str:
        return keeping_none(subject.cycle, subject.control, cycles)

    def anew() -> str:
        return keeping_none(lambda: make().cycle(), lambda: make().control(), max(4, cycles // 2))

    yield "convert and fold in place", cycled
    yield "convert and fold, network anew", anew


def soak(framework: str, steps: int) -> int:
    """All checks of one framework, here; how many failed."""
    make = importlib.import_module(f"tests.soak.with_{framework}").Network
    failures = 0
    for name, check in checks(make, steps):
        start = time.monotonic()
        try:
            said = check()
        except FailedError as error:
            said, failures = f"FAILED: {error}", failures + 1
        print(f"{framework:6} {name:32} {said} ({time.monotonic() - start:.0f} s)", flush=True)
    return failures


def main() -> int:
    """A process for each framework."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frameworks", nargs="*", default=FRAMEWORKS)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        return min(1, sum(soak(name, given.steps) for name in given.frameworks))
    failed = 0
    for name in given.frameworks:
        command = [sys.executable, "-m", "tests.soak", name, "--here", "--steps", str(given.steps)]
        failed += subprocess.run(command, cwd=ROOT, check=False, timeout=LIMIT).returncode != 0
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
