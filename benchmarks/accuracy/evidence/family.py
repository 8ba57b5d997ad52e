"""The neighbours: accuracy beside what is deployed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from benchmarks.accuracy.evidence import section
from benchmarks.accuracy.evidence.compare import compare
from benchmarks.accuracy.evidence.draw import Interval, forests
from benchmarks.accuracy.evidence.section import Section
from benchmarks.accuracy.run import Record
from benchmarks.accuracy.studies.family import ARMS, NETWORKS, RATES, SEARCH, STUDY
from benchmarks.accuracy.studies.study import Budget, Records

BASE = "family"


def made(records: Records) -> Section:
    size, budget = section.budget(STUDY, records)
    example = next(iter(STUDY.runs(budget, records)))
    records = section.of_size(records, example)
    rates = {
        (network, arm): SEARCH.chosen_rate(budget, records, network, arm)
        for network in NETWORKS
        for arm in ARMS
    }
    done = [network for network in NETWORKS if all(rates[network, arm] for arm in ARMS)]
    rows, intervals = [], []
    base = _of(records, BASE, "plain", rates[BASE, "plain"])
    for network in done:
        for arm in ARMS:
            beyond = compare(base, _of(records, network, arm, rates[network, arm]))
            name = _name(network, arm)
            rows.append(
                [name, f"{rates[network, arm]:g}", section.percent(beyond.means[1]),
                 "" if name == "plain" else str(beyond), str(beyond.seeds), *_cost(network)]
            )  # fmt: skip
            if name != "plain" and beyond.difference and beyond.seeds > 1:
                intervals.append(Interval(name, *beyond.difference))
    body = [
        "One network of dense 3x3 and depthwise 5x5 convolutions, batch norm, Fashion-MNIST, "
        f"{example.images:,} training images, {example.epochs} epochs; CondConv in the dense "
        "ones after the first, XSepConv in the depthwise ones, DO-Conv in all. Trained as in the "
        f"study of rates, {_rate(budget)}. Parameters and multiply-accumulates are those of the "
        "deployed, folded convolutions.",
        section.table(
            ("", "rate", "test accuracy, %", "beyond plain (95 % interval)", "seeds",
             "deployed parameters", "multiply-accumulates an image"),
            rows,
        ),
        section.state(STUDY, size, records),
    ]  # fmt: skip
    title = "Test accuracy beyond the plain network"
    draw: Callable[[], Figure] | None = (
        (lambda: forests({"Fashion-MNIST": intervals}, title)) if intervals else None
    )
    return Section("Beside its neighbours", "\n\n".join(body), [], draw)


def _of(records: Records, network: str, arm: str, rate: float | None) -> list[Record]:
    return [
        record
        for run, record in sorted(records.items())
        if (run.network, run.arm, run.rate) == (network, arm, rate)
    ]


def _rate(budget: Budget) -> str:
    rates = budget.rates or RATES
    if len(rates) == 1:
        return f"all at rate {rates[0]:g}, for which nothing was searched"
    grid = ", ".join(f"{rate:g}" for rate in rates)
    return f"each row at the best of {grid} by validation ({budget.searched} seed(s))"


def _name(network: str, arm: str) -> str:
    over = arm == "DO-Conv"
    if network == BASE:
        return "DO-Conv" if over else "plain"
    network = network.replace(" 1 experts", " 1 expert")
    return f"DO-{network}" if over else network


def _cost(network: str) -> list[str]:
    import torch  # the page can be made without, where no family was recorded

    from benchmarks.with_torch.classifiers import CLASSIFIERS
    from doconv_torch import summary

    rows = summary(CLASSIFIERS[network](1, 10), torch.zeros(1, 1, 28, 28))
    parameters = [row.parameters[2] for row in rows if row.parameters]
    macs = [row.macs[2] for row in rows if row.macs]
    return [f"{int(np.sum(parameters)):,}", f"{int(np.sum(macs)):,}"]
