"""Both arms on one grid of learning rates: five networks, four with batch norm."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from benchmarks.accuracy.run import Recipe, Run
from benchmarks.accuracy.studies.study import Budget, Records, Study, best_rate

ARMS = ("plain", "DO-Conv")
NETWORKS = ("plain", "resnet", "depthwise", "grouped", "unnormalized")
RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Each twice the one before, so that the grid holds the plain network at a raised rate too."""
RECIPE = Recipe(batch=64, momentum=0.9, weight_decay=5e-4, schedule="cosine")


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
    return Run("rates", "torch", data, network, arm, rate, seed, epochs, images or 50_000)


STUDY = Study(
    "rates",
    lambda run: RECIPE,
    runs,
    {
        "quick": Budget("digits", 128, 1, seeds=2, searched=1, rates=RATES[:2]),
        "small": Budget(images=5_000, epochs=6, seeds=5, searched=1, rates=RATES[2:6]),
        "full": Budget(),
    },
)
