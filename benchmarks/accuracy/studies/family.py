"""The neighbours, each plain and over-parameterized: accuracy beside what is deployed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from benchmarks.accuracy.run import Run
from benchmarks.accuracy.studies import rates
from benchmarks.accuracy.studies.study import Budget, Records, Study, best_rate

ARMS = ("plain", "DO-Conv")
NETWORKS = ("family", *(f"CondConv, {n} experts" for n in (1, 2, 4, 8)), "XSepConv")
RATES = (0.05, 0.1, 0.2)


def runs(budget: Budget, records: Records) -> Iterable[Run]:
    for seed, network, rate, arm in product(
        range(budget.searched), NETWORKS, budget.rates or RATES, ARMS
    ):
        yield _run(budget, network, arm, rate, seed)
    for seed, network, arm in product(range(budget.seeds), NETWORKS, ARMS):
        rate = chosen_rate(budget, records, network, arm)
        if rate:
            yield _run(budget, network, arm, rate, seed)


def chosen_rate(budget: Budget, records: Records, network: str, arm: str) -> float | None:
    """The rate with the best validation accuracy over the searched seeds; None before they are."""
    wanted = product(range(budget.searched), budget.rates or RATES)
    keys = [_run(budget, network, arm, rate, seed) for seed, rate in wanted]
    return best_rate(records[key] for key in keys) if records.keys() >= set(keys) else None


def _run(budget: Budget, network: str, arm: str, rate: float, seed: int) -> Run:
    data, epochs, images = budget.data or "fashion-mnist", budget.epochs or 15, budget.images
    return Run("family", "torch", data, network, arm, rate, seed, epochs, images or 50_000)


STUDY = Study(
    "family",
    lambda run: rates.RECIPE,
    runs,
    {
        "quick": Budget("digits", 64, 1, seeds=2, searched=1, rates=RATES[:2]),
        "small": Budget(images=5_000, epochs=6, seeds=3, searched=1, rates=RATES[1:2]),
        "full": Budget(),
    },
)
