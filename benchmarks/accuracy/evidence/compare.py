"""Two arms over the seeds that both have: a paired difference, or counts where runs were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.run import Record
from doconv_cli.demo.statistics import Difference, paired_difference

Measure = Callable[[Record], float]
ENOUGH = 3
"""Seeds below which no sentence is made of a difference; tables show it all the same."""


def tested(record: Record) -> float:
    """Accuracy on the test images, looked at once."""
    return float(record["test"])


def as_the_authors(record: Record) -> float:
    """What the authors' samples print last: of the images held out, where there are any."""
    return float(record["validation"][-1]) if record["validation"] else tested(record)


class Comparison(NamedTuple):
    """Arms of equal seeds.

    Attributes:
        seeds: that both have.
        means: of the first and the second, over the runs that trained; NaN if none did.
        lost: how many of each did not train.
        difference: second minus first, with its 95 % interval; None where a run was lost, for
            what is left is a selection.
    """

    seeds: int
    means: tuple[float, float]
    lost: tuple[int, int]
    difference: Difference | None

    def __str__(self) -> str:
        """The difference, as in the tables."""
        if not self.seeds:
            return "not run"
        if self.difference is None:
            return f"{self.lost[0]} and {self.lost[1]} of {self.seeds} did not train"
        mean, low, high = self.difference
        return f"{mean:+.2f}" + ("" if self.seeds == 1 else f" ({low:+.2f} .. {high:+.2f})")

    @property
    def told(self) -> str:
        """The difference, its seeds and what they carry, for a sentence."""
        if self.seeds < ENOUGH:
            return f"not measured with {ENOUGH} seeds yet"
        return f"{self}, {self.seeds} seeds: {self.verdict}"

    @property
    def verdict(self) -> str:
        """No more than the interval carries."""
        if not self.seeds:
            return "not measured"
        if self.difference is None:
            return "not comparable"
        if self.difference.low > 0:
            return "higher"
        return "lower" if self.difference.high < 0 else "no difference seen"


def compare(
    first: Iterable[Record], second: Iterable[Record], measure: Measure = tested
) -> Comparison:
    """Pair the records of two arms by seed."""
    ours = {record["seed"]: record for record in second}
    pairs = [(record, ours[record["seed"]]) for record in first if record["seed"] in ours]
    means, lost = [], []
    for arm in zip(*pairs, strict=True) if pairs else ((), ()):
        trained = [measure(record) for record in arm if not record["diverged"]]
        means.append(float(np.mean(trained)) if trained else float("nan"))
        lost.append(len(arm) - len(trained))
    difference = None
    if pairs and not any(lost):
        difference = paired_difference(*np.transpose([[*map(measure, pair)] for pair in pairs]))
    return Comparison(len(pairs), (means[0], means[1]), (lost[0], lost[1]), difference)


def counted(found: Iterable[Comparison]) -> str:
    """How they came out, most often first: "no difference seen in 3, lower in 1"."""
    verdicts = Counter(each.verdict for each in found if each.seeds >= ENOUGH)
    return ", ".join(f"{verdict} in {count}" for verdict, count in verdicts.most_common())
