"""What a study is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.run import Recipe, Record, Run

Records = Mapping[Run, Record]


class Budget(NamedTuple):
    """How much of a study is done.

    Attributes:
        data: the data set; None leaves the study's own.
        images: how many are trained on; None: what the study says.
        epochs: None: what the study says.
        seeds: of the runs at the chosen rates.
        searched: seeds of the search for those rates.
        rates: of the search; None: the study's grid.
    """

    data: str | None = None
    images: int | None = None
    epochs: int | None = None
    seeds: int = 10
    searched: int = 3
    rates: tuple[float, ...] | None = None


class Study(NamedTuple):
    """A question, and the runs that answer it.

    Attributes:
        name: of the study and of its file of records.
        recipe: how a run is trained.
        runs: those wanted, given the budget and the records so far: rates are chosen by a search,
            so asking again after the first were done may bring more.
        budgets: by the size that ``--size`` takes.
    """

    name: str
    recipe: Callable[[Run], Recipe]
    runs: Callable[[Budget, Records], Iterable[Run]]
    budgets: Mapping[str, Budget]


def validated(record: Record) -> float:
    """What a rate is chosen by: the last validation accuracy; nothing is worse than divergence."""
    return 0.0 if record["diverged"] or not record["validation"] else record["validation"][-1]


def best_rate(found: Iterable[Record]) -> float | None:
    """The rate whose runs have the best mean validation accuracy; None without records."""
    by_rate: dict[float, list[float]] = {}
    for record in found:
        by_rate.setdefault(record["rate"], []).append(validated(record))
    return max(by_rate, key=lambda rate: (float(np.mean(by_rate[rate])), -rate), default=None)
