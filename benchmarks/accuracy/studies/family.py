"""The neighbours, each plain and over-parameterized: accuracy beside what is deployed."""

from __future__ import annotations

from benchmarks.accuracy.studies import rates
from benchmarks.accuracy.studies.study import Budget, Search, Study

ARMS = ("plain", "DO-Conv")
NETWORKS = ("family", *(f"CondConv, {n} experts" for n in (1, 2, 4, 8)), "XSepConv")
RATES = (0.05, 0.1, 0.2)


SEARCH = Search("family", NETWORKS, ARMS, RATES)
STUDY = Study(
    "family",
    lambda run: rates.RECIPE,
    SEARCH.runs,
    {
        "quick": Budget("digits", 64, 1, seeds=2, searched=1, rates=RATES[:2]),
        "small": Budget(images=5_000, epochs=6, seeds=3, searched=1, rates=RATES[1:2]),
        "full": Budget(),
    },
)
