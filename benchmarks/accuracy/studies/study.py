"""What a study is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
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
        further: higher ones, tried one by one as long as an arm's best is the highest so far.
    """

    data: str | None = None
    images: int | None = None
    epochs: int | None = None
    seeds: int = 10
    searched: int = 3
    rates: tuple[float, ...] | None = None
    further: tuple[float, ...] = ()


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


class Search(NamedTuple):
    """One grid of rates for the arms of some networks, then more seeds at each arm's best.

    Attributes:
        study: its name.
        networks: in PyTorch, on Fashion-MNIST.
        arms: of each.
        rates: the grid.
    """

    study: str
    networks: tuple[str, ...]
    arms: tuple[str, ...]
    rates: tuple[float, ...]

    def runs(self, budget: Budget, records: Records) -> Iterable[Run]:
        grids = {network: self.grid(budget, records, network) for network in self.networks}
        for seed, network in product(range(budget.searched), self.networks):
            for rate, arm in product(grids[network], self.arms):
                yield self._run(budget, network, arm, rate, seed)
        for seed, network, arm in product(range(budget.seeds), self.networks, self.arms):
            chosen = self.chosen_rate(budget, records, network, arm)
            if chosen is not None:
                yield self._run(budget, network, arm, chosen, seed)

    def grid(self, budget: Budget, records: Records, network: str) -> tuple[float, ...]:
        """The rates tried for both arms: the budget's, and further ones while they are better."""
        rates = budget.rates or self.rates
        for further in budget.further:
            if rates[-1] not in (
                self._best(budget, records, network, arm, rates) for arm in self.arms
            ):
                break
            rates = (*rates, further)
        return rates

    def chosen_rate(self, budget: Budget, records: Records, network: str, arm: str) -> float | None:
        """The one with the best validation accuracy over the searched seeds; None before that."""
        return self._best(budget, records, network, arm, self.grid(budget, records, network))

    def _best(
        self, budget: Budget, records: Records, network: str, arm: str, rates: tuple[float, ...]
    ) -> float | None:
        wanted = product(range(budget.searched), rates)
        keys = [self._run(budget, network, arm, rate, seed) for seed, rate in wanted]
        return best_rate(records[key] for key in keys) if records.keys() >= set(keys) else None

    def _run(self, budget: Budget, network: str, arm: str, rate: float, seed: int) -> Run:
        data, epochs, images = budget.data or "fashion-mnist", budget.epochs or 15, budget.images
        return Run(self.study, "torch", data, network, arm, rate, seed, epochs, images or 50_000)
