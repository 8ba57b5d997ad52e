"""Both arms on one grid of learning rates: five networks, four with batch norm."""

from __future__ import annotations

from benchmarks.accuracy.run import Recipe
from benchmarks.accuracy.studies.study import Budget, Search, Study

ARMS = ("plain", "DO-Conv")
NETWORKS = ("plain", "resnet", "depthwise", "grouped", "unnormalized")
RATES = (0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
"""Each twice the one before, so that the grid holds the plain network at a raised rate too."""
RECIPE = Recipe(batch=64, momentum=0.9, weight_decay=5e-4, schedule="cosine")


SEARCH = Search("rates", NETWORKS, ARMS, RATES)
STUDY = Study(
    "rates",
    lambda run: RECIPE,
    SEARCH.runs,
    {
        "quick": Budget("digits", 128, 1, seeds=2, searched=1, rates=RATES[:2]),
        "small": Budget(
            images=5_000, epochs=6, seeds=10, searched=3, rates=RATES[:4], further=RATES[4:]
        ),
        "full": Budget(),
    },
)
