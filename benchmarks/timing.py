"""Comparing steps fairly: interleaved in one process, as ratios."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

Step = Callable[[], object]


class Ratio(NamedTuple):
    """How a way of training compares with plain training in the same rounds.

    Attributes:
        of_minima: its fastest step to the fastest plain one. Other work on the machine only ever
            makes a step slower, so this is the figure to quote.
        median: of the ratios round by round.
        low, high: the quartiles of those ratios: the spread.
    """

    of_minima: float
    median: float
    low: float
    high: float


def interleave(
    steps: Mapping[str, Step], rounds: int, advance: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Time each step once a round, in an order that turns from round to round, in seconds."""
    names = list(steps)
    for name in names:  # compilation, autotuning and first allocations are not the step
        for _ in range(2):
            steps[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - start)
        advance()
    return times


def ratio(times: list[float], plain: list[float]) -> Ratio:
    """Compare two lists of times from the same rounds."""
    by_round = np.asarray(times) / np.asarray(plain)
    low, median, high = np.percentile(by_round, (25, 50, 75))
    return Ratio(min(times) / min(plain), float(median), float(low), float(high))


def machine() -> str:
    """The processor and how many cores this process may use."""
    import os

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}"
