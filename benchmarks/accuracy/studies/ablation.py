"""What in DO-Conv does it: start, D_mul, training of D, place, decay, D's rate, length of steps."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from benchmarks.accuracy.run import Recipe, Run
from benchmarks.accuracy.studies import authors, rates
from benchmarks.accuracy.studies.study import Budget, Records, Study

ARMS = (
    "plain",
    "DO-Conv",
    "norm-matched",
    "D's rate x 0.1",
    "D's rate x 0.3",
    "D's rate x 3",
    "D random",
    "D random, frozen",
    "D_mul 2K",
    "D_mul 4K",
    "D_mul K + 3",
    "D_mul 2K, authors' start",
    "D_mul K + 3, authors' start",
    "first half",
    "second half",
    "no decay on D",
)


class Subject(NamedTuple):
    """A network, its data, and how and at which rates it is trained."""

    data: str
    recipe: Recipe
    rates: tuple[float, ...]
    epochs: int


SUBJECTS = {
    "sample": Subject("mnist", authors.SAMPLES["torch"].recipe, (0.01, 0.05, 0.1), 15),
    "plain": Subject("fashion-mnist", rates.RECIPE, (0.1, 0.4), 15),
}
"""The authors' sample, which has no batch norm, and a deep network that has."""


def runs(budget: Budget, records: Records) -> Iterable[Run]:
    for seed, (network, subject) in product(range(budget.seeds), SUBJECTS.items()):
        for rate, arm in product(subject.rates, ARMS):
            if arm == "no decay on D" and not subject.recipe.weight_decay:
                continue  # it would be DO-Conv once more
            yield _run(budget, network, arm, rate, seed)


def _run(budget: Budget, network: str, arm: str, rate: float, seed: int) -> Run:
    subject = SUBJECTS[network]
    data, epochs = budget.data or subject.data, budget.epochs or subject.epochs
    images = budget.images or 50_000
    return Run("ablation", "torch", data, network, arm, rate, seed, epochs, images)


STUDY = Study(
    "ablation",
    lambda run: SUBJECTS[run.network].recipe,
    runs,
    {
        "quick": Budget("digits", 64, 1, seeds=1),
        "small": Budget(images=10_000, epochs=5, seeds=10),
        "full": Budget(),
    },
)
