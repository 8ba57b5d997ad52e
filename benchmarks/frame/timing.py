"""Comparing steps fairly: interleaved in one process, as ratios."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Step = Callable[[], object]

Clock = Callable[[Step, int], float]
"""Seconds of a step, done so many times: their mean."""


class Ratio(NamedTuple):
    """How one way compares with the plain one in the same rounds.

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


def on_the_wall(step: Step, repeats: int) -> float:
    """By the processor's clock."""
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def interleave(
    steps: Mapping[str, Step],
    rounds: int,
    advance: Callable[[], None] = lambda: None,
    *,
    at_least: float = 0.0,
    clock: Clock = on_the_wall,
) -> dict[str, list[float]]:
    """Time each step once a round, in an order that turns from round to round.

    Args:
        steps: by name.
        rounds: times that each is measured.
        advance: called after each round.
        at_least: seconds that one measurement takes; a shorter step is done again and again, and
            what it takes is the mean.
        clock: what seconds are taken with.

    Returns:
        Seconds of each step, round by round.
    """
    names = list(steps)
    repeats = {}
    for name in names:  # compilation, autotuning and first allocations are not the step
        steps[name]()
        repeats[name] = max(1, math.ceil(at_least / clock(steps[name], 1)))
    times: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(clock(steps[name], repeats[name]))
        advance()
    return times


def ratio(times: list[float], plain: list[float]) -> Ratio:
    """Compare two lists of times from the same rounds."""
    by_round = np.asarray(times) / np.asarray(plain)
    low, median, high = np.percentile(by_round, (25, 50, 75))
    return Ratio(min(times) / min(plain), float(median), float(low), float(high))


def ratios(times: Mapping[str, list[float]], to: str = "plain") -> dict[str, Ratio]:
    """Each of a table of times to one of them."""
    return {name: ratio(each, times[to]) for name, each in times.items()}
