"""The authors' three MNIST samples, as they give them; then with a rate tuned for each arm.

And at the highest rates of the PyTorch one, which DO-Conv does not always bear, its gentler forms.

Source: sample_pt.py, sample_tf.py and sample_gluoncv.py of https://github.com/yangyanli/DO-Conv,
and the tables of five runs in its README. Where its commented line of sample_tf.py and the README
differ (DOConv2D of 32 or of 8 filters in the second layer), the README's is taken: with it both
networks are the same size.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from benchmarks.accuracy.run import Recipe, Run
from benchmarks.accuracy.studies.study import Budget, Records, Study, best_rate

ARMS = ("plain", "DO-Conv")
GENTLER = ("D's rate x 0.1", "D's rate x 0.3", "norm-matched")
"""DO-Conv with shorter steps; in PyTorch, at the two highest of the sample's rates."""


class Sample(NamedTuple):
    """One of their programs, and what their README reports of it.

    Attributes:
        program: its name.
        recipe: how it trains.
        rate: its learning rate.
        epochs: their number.
        images: trained on; where 50,000, the other 10,000 are what it measures with, else the
            10,000 test images are.
        rates: which are tried when tuning.
        plain: accuracy in percent of their five runs.
        do_conv: likewise.
    """

    program: str
    recipe: Recipe
    rate: float
    epochs: int
    images: int
    rates: tuple[float, ...]
    plain: tuple[float, ...]
    do_conv: tuple[float, ...]


SAMPLES = {
    "torch": Sample(
        "sample_pt.py",
        Recipe(batch=32, momentum=0.9),
        0.01,
        15,
        50_000,
        (0.005, 0.01, 0.02, 0.05, 0.1),
        (94.63, 95.31, 95.23, 95.24, 95.37),
        (95.59, 95.73, 95.68, 95.70, 95.67),
    ),
    "keras": Sample(
        "sample_tf.py",
        Recipe("Adam", batch=32, shuffle=10_000),
        0.001,
        5,
        60_000,
        (0.0003, 0.001, 0.003, 0.01),
        (98.50, 98.51, 98.54, 98.46, 98.51),
        (98.71, 98.62, 98.67, 98.75, 98.66),
    ),
    "gluon": Sample(
        "sample_gluoncv.py",
        Recipe(batch=100),
        0.03,
        10,
        60_000,
        (0.03, 0.1, 0.3, 1.0),
        (98.10,) * 5,
        (98.26,) * 5,
    ),
}
VALIDATED = 50_000
"""Images trained on when a rate is tuned; the other 10,000 choose it, the test images judge it."""


def runs(budget: Budget, records: Records) -> Iterable[Run]:
    def run(framework: str, arm: str, rate: float, seed: int, images: int) -> Run:
        return Run(
            "authors",
            framework,
            budget.data or "mnist",
            "sample",
            arm,
            rate,
            seed,
            budget.epochs or SAMPLES[framework].epochs,
            budget.images or images,
        )

    for framework, sample in SAMPLES.items():
        for seed, arm in product(range(budget.seeds), ARMS):
            yield run(framework, arm, sample.rate, seed, sample.images)
    for framework, sample in SAMPLES.items():
        for seed, rate, arm in product(range(budget.searched), sample.rates, ARMS):
            yield run(framework, arm, rate, seed, VALIDATED)
    for framework in SAMPLES:
        for arm in ARMS:
            rate = chosen_rate(budget, records, framework, arm)
            for seed in range(budget.seeds if rate else 0):
                yield run(framework, arm, rate, seed, VALIDATED)
    for seed, rate, arm in product(range(budget.searched), SAMPLES["torch"].rates[-2:], GENTLER):
        yield run("torch", arm, rate, seed, VALIDATED)


def chosen_rate(budget: Budget, records: Records, framework: str, arm: str) -> float | None:
    """The rate of the sample's grid with the best validation accuracy over the searched seeds.

    None while the search is not complete.
    """
    sample = SAMPLES[framework]
    found = [
        record
        for run, record in records.items()
        if (run.framework, run.arm, run.images) == (framework, arm, budget.images or VALIDATED)
        and run.rate in sample.rates
        and run.seed < budget.searched
    ]
    complete = len(found) == len(sample.rates) * budget.searched
    return best_rate(found) if complete else None


STUDY = Study(
    "authors",
    lambda run: SAMPLES[run.framework].recipe,
    runs,
    {"quick": Budget("digits", 256, 2, seeds=2, searched=1), "full": Budget()},
)
