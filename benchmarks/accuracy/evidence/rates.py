"""Best against best, the same rate, plain at twice the rate, speed and stability."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np
from matplotlib.figure import Figure

from benchmarks.accuracy.evidence import section
from benchmarks.accuracy.evidence.compare import Comparison, as_the_authors, compare, counted
from benchmarks.accuracy.evidence.draw import Band, over_rates
from benchmarks.accuracy.evidence.section import Section
from benchmarks.accuracy.run import Record
from benchmarks.accuracy.studies.rates import ARMS, NETWORKS, RATES, SEARCH, STUDY
from benchmarks.accuracy.studies.study import Records

NAMES = {
    "plain": "plain, 13 convolutions",
    "resnet": "ResNet",
    "depthwise": "depthwise",
    "grouped": "grouped ResNet",
    "unnormalized": "plain, 7 convolutions, no norm",
}
NORMALIZED = [network for network in NETWORKS if network != "unnormalized"]
REACHED = 2.0
"""Points below the plain network's end: the accuracy whose epoch is told."""


def made(records: Records) -> Section:
    size, budget = section.budget(STUDY, records)
    example = next(iter(STUDY.runs(budget, records)))
    records = section.of_size(records, example)
    found = [network for network in NETWORKS if any(run.network == network for run in records)]
    rates = {
        network: {arm: SEARCH.chosen_rate(budget, records, network, arm) for arm in ARMS}
        for network in found
    }
    done = [network for network in found if all(rates[network].values())]
    best = {network: _best(records, network, rates[network]) for network in done}
    higher = ", and the next higher while an arm's best is the highest" if budget.further else ""
    body = [
        f"Fashion-MNIST, {example.images:,} training images, {example.epochs} epochs, SGD with "
        "momentum 0.9, weight decay 5e-4, batch 64, the rate falling to 0 by a cosine. Rates "
        f"{', '.join(f'{rate:g}' for rate in budget.rates or RATES)} for both arms{higher}, chosen "
        f"for each by the last validation accuracy over {budget.searched} seeds; then up to "
        f"{budget.seeds} seeds at the chosen rates, judged on the 10,000 test images. All "
        "networks have batch norm but the last.",
        "Best against best:",
        section.table(
            ("network", "rate: plain", "DO-Conv", "plain", "DO-Conv",
             "difference (95 % interval)", "seeds"),
            [
                _best_row(
                    network, rates[network], best[network], SEARCH.grid(budget, records, network)
                )
                for network in done
            ],
        ),
        f"Epochs until the validation accuracy is within {REACHED:g} points of the plain "
        "network's mean end, each at its own chosen rate:",
        section.table(
            ("network", "accuracy, %", "plain", "DO-Conv"),
            [_speed_row(records, network, rates[network]) for network in done],
        ),
        "Rate by rate, last validation accuracy, mean over the seeds there. \"Did not train\" "
        "counts runs whose loss stopped being finite or whose accuracy stayed below twice chance:",
        section.table(
            ("network", "rate", "plain", "DO-Conv", "plain at twice the rate",
             "difference, same rate", "difference, plain at twice the rate",
             "did not train: plain", "DO-Conv"),
            list(_grid_rows(records, found)),
        ),
        section.state(STUDY, size, records),
    ]  # fmt: skip
    return Section(
        "Best against best, on one grid of rates",
        "\n\n".join(body),
        _answers(records, best, section.caution(size, example)),
        _picture(records, found),
    )


def _of(records: Records, network: str, arm: str, rate: float | None) -> list[Record]:
    return [
        record
        for run, record in sorted(records.items())
        if (run.network, run.arm, run.rate) == (network, arm, rate)
    ]


def _best(records: Records, network: str, rates: dict[str, float | None]) -> Comparison:
    plain, do_conv = (_of(records, network, arm, rates[arm]) for arm in ARMS)
    return compare(plain, do_conv)


def _best_row(
    network: str, rates: dict[str, float | None], found: Comparison, grid: tuple[float, ...]
) -> list[str]:
    # What lies beyond the grid might be better still.
    edges = (grid[0], grid[-1])
    chosen = [f"{rate:g}{' (edge)' * (rate in edges)}" for rate in rates.values()]
    means = map(section.percent, found.means)
    return [NAMES[network], *chosen, *means, str(found), str(found.seeds)]


def _speed_row(records: Records, network: str, rates: dict[str, float | None]) -> list[str]:
    curves = {
        arm: [r["validation"] for r in _of(records, network, arm, rates[arm]) if not r["diverged"]]
        for arm in ARMS
    }
    goal = float(np.mean([curve[-1] for curve in curves["plain"]])) - REACHED
    return [NAMES[network], f"{goal:.2f}", *(_epochs(curves[arm], goal) for arm in ARMS)]


def _epochs(curves: Iterable[list[float]], goal: float) -> str:
    reached = [
        next((epoch for epoch, value in enumerate(curve, 1) if value >= goal), None)
        for curve in curves
    ]
    there = [epoch for epoch in reached if epoch is not None]
    mean = f"{np.mean(there):.1f}" if there else "never"
    return mean if len(there) == len(reached) else f"{mean} ({len(there)} of {len(reached)} runs)"


def _grid_rows(records: Records, networks: list[str]) -> Iterable[list[str]]:
    for network in networks:
        for rate in RATES:
            plain, ours, twice = (
                _of(records, network, arm, each)
                for arm, each in (("plain", rate), ("DO-Conv", rate), ("plain", 2 * rate))
            )
            same = compare(plain, ours, as_the_authors)
            raised = compare(twice, ours, as_the_authors)
            if same.seeds:
                means = map(section.percent, (*same.means, raised.means[0]))
                against = str(raised) if raised.seeds else ""
                lost = map(str, same.lost)
                yield [NAMES[network], f"{rate:g}", *means, str(same), against, *lost]


def _answers(records: Records, best: dict[str, Comparison], caution: str) -> list[str]:
    normed = {network: each for network, each in best.items() if network in NORMALIZED}
    told = "; ".join(f"{NAMES[network]} {each.told}" for network, each in normed.items())
    lost = {arm: _lost(records, arm, NETWORKS) for arm in ARMS}
    normal = {arm: _lost(records, arm, NORMALIZED) for arm in ARMS}
    return [
        section.answer(
            "Best against best on networks with batch norm, Fashion-MNIST",
            counted(normed.values()),
            f"{caution}{told or 'not measured yet'}.",
        ),
        section.answer(
            "Runs that did not train, at all of those rates",
            f"plain {lost['plain']}, DO-Conv {lost['DO-Conv']}",
            f"With batch norm: plain {normal['plain']}, DO-Conv {normal['DO-Conv']}.",
        ),
    ]


def _lost(records: Records, arm: str, networks: Collection[str]) -> str:
    found = [
        record["diverged"]
        for run, record in records.items()
        if run.arm == arm and run.network in networks
    ]
    return f"{sum(found)} of {len(found)}"


def _picture(records: Records, networks: list[str]) -> Callable[[], Figure] | None:
    panels = {
        NAMES[network]: {
            arm: _band(records, network, arm)
            for arm in ARMS
            if any(_of(records, network, arm, rate) for rate in RATES)
        }
        for network in networks
    }
    title = "Last validation accuracy; 95 % intervals where several seeds trained"
    return (lambda: over_rates(panels, title)) if panels else None


def _band(records: Records, network: str, arm: str) -> tuple[list[float], Band]:
    there, points = [], []
    for rate in RATES:
        trained = [
            r["validation"][-1:] for r in _of(records, network, arm, rate) if not r["diverged"]
        ]
        if trained:
            there.append(rate)
            points.append(Band.of(arm, trained))
    means, lows, highs = (
        np.concatenate([getattr(point, part) for point in points]) if points else np.empty(0)
        for part in ("mean", "low", "high")
    )
    return there, Band(arm, means, lows, highs)
