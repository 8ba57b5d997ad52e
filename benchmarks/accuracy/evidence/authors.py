"""The authors' table beside ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from benchmarks.accuracy.evidence import section
from benchmarks.accuracy.evidence.compare import (
    Comparison,
    as_the_authors,
    compare,
    counted,
    tested,
)
from benchmarks.accuracy.evidence.draw import Band, Interval, forest_and_curves
from benchmarks.accuracy.evidence.section import Section
from benchmarks.accuracy.run import Record
from benchmarks.accuracy.studies.authors import (
    ARMS,
    GENTLER,
    SAMPLES,
    STUDY,
    VALIDATED,
    chosen_rate,
)
from benchmarks.accuracy.studies.study import Records

NAMES = {"torch": "PyTorch", "keras": "Keras", "gluon": "Gluon"}


def made(records: Records) -> Section:
    size, budget = section.budget(STUDY, records)
    given = {framework: _given(records, framework) for framework in SAMPLES}
    rates = {
        framework: {arm: chosen_rate(budget, records, framework, arm) for arm in ARMS}
        for framework in SAMPLES
    }
    tuned = {
        framework: _compare(records, framework, VALIDATED, rate["plain"], rate["DO-Conv"], tested)
        for framework, rate in rates.items()
    }
    body = [
        "Their networks, optimizers, rates, batches, epochs and splits, measured as they measure: "
        "in PyTorch on the last 10,000 training images, in Keras and Gluon on the test images. "
        "Theirs are five runs; those of the Gluon sample are one seed five times.",
        section.table(
            ("sample", "theirs: plain", "DO-Conv", "difference",
             "ours: plain", "DO-Conv", "difference (95 % interval)", "seeds"),
            [_row(framework, each) for framework, each in given.items()],
        ),
        "With a rate chosen for each arm on validation images (PyTorch "
        f"{_grid('torch')}; Keras {_grid('keras')}; Gluon {_grid('gluon')}), trained on 50,000 "
        "images, judged on the 10,000 test images:",
        section.table(
            ("sample", "rate: plain", "DO-Conv", "plain", "DO-Conv",
             "difference (95 % interval)", "seeds"),
            [_tuned_row(framework, rates[framework], each) for framework, each in tuned.items()],
        ),
        "The search itself, last validation accuracy, mean and lowest of the runs that trained:",
        section.table(
            ("sample", "rate", "plain", "DO-Conv", "lowest: plain", "DO-Conv",
             "difference (95 % interval)", "seeds"),
            list(_search_rows(records)),
        ),
        *_gentler(records),
        section.state(STUDY, size, records),
    ]  # fmt: skip
    return Section(
        "The authors' own samples", "\n\n".join(body), _answers(given, tuned, rates),
        _picture(records, given, tuned),
    )  # fmt: skip


def _given(records: Records, framework: str) -> Comparison:
    sample = SAMPLES[framework]
    return _compare(records, framework, sample.images, sample.rate, sample.rate, as_the_authors)


def _runs(
    records: Records, framework: str, images: int, arm: str, rate: float | None
) -> list[Record]:
    wanted = (framework, "mnist", images, arm, rate, SAMPLES[framework].epochs)
    return [
        record
        for run, record in sorted(records.items())
        if (run.framework, run.data, run.images, run.arm, run.rate, run.epochs) == wanted
    ]


def _compare(
    records: Records,
    framework: str,
    images: int,
    plain: float | None,
    do_conv: float | None,
    measure: Callable[[Record], float],
) -> Comparison:
    return compare(
        _runs(records, framework, images, "plain", plain),
        _runs(records, framework, images, "DO-Conv", do_conv),
        measure,
    )


def _row(framework: str, ours: Comparison) -> list[str]:
    sample = SAMPLES[framework]
    plain, do_conv = np.mean(sample.plain), np.mean(sample.do_conv)
    theirs = [f"{plain:.3f}", f"{do_conv:.3f}", f"{do_conv - plain:+.3f}"]
    means = map(section.percent, ours.means)
    return [f"{NAMES[framework]}, {sample.program}", *theirs, *means, str(ours), str(ours.seeds)]


def _tuned_row(framework: str, rates: dict[str, float | None], ours: Comparison) -> list[str]:
    chosen = [f"{rate:g}" if rate else "search not complete" for rate in rates.values()]
    means = map(section.percent, ours.means)
    return [NAMES[framework], *chosen, *means, str(ours), str(ours.seeds)]


def _search_rows(records: Records) -> list[list[str]]:
    rows = []
    for framework, sample in SAMPLES.items():
        for rate in sample.rates:
            arms = [_runs(records, framework, VALIDATED, arm, rate) for arm in ARMS]
            found = compare(*arms, as_the_authors)
            if found.seeds:
                cells = map(section.percent, (*found.means, *map(_lowest, arms)))
                rows.append([NAMES[framework], f"{rate:g}", *cells, str(found), str(found.seeds)])
    return rows


def _lowest(runs: list[Record]) -> float:
    """A run that lost a class pulls a mean of three down by ten points."""
    return min((as_the_authors(r) for r in runs if not r["diverged"]), default=float("nan"))


def _gentler(records: Records) -> list[str]:
    """DO-Conv and its gentler forms where rates are highest, each against plain."""
    rates = SAMPLES["torch"].rates[-2:]
    plain = {rate: _runs(records, "torch", VALIDATED, "plain", rate) for rate in rates}
    found = {
        arm: [
            compare(plain[rate], _runs(records, "torch", VALIDATED, arm, rate), as_the_authors)
            for rate in rates
        ]
        for arm in ("DO-Conv", *GENTLER)
    }
    if not any(each.seeds for arm in GENTLER for each in found[arm]):
        return []
    columns = ("plain", "this", "difference (95 % interval)", "seeds")
    return [
        "At the two highest rates of the PyTorch sample, DO-Conv with shorter steps: D's rate a "
        "part of W's, or no kernel's step longer than the plain one for the same gradients "
        '("norm-matched"); last validation accuracy, mean of the runs that trained:',
        section.table(
            ("", *(f"rate {rate:g}: {what}" for rate in rates for what in columns)),
            [
                [arm, *(cell for each in by_rate for cell in _cells(each))]
                for arm, by_rate in found.items()
            ],
        ),
    ]


def _cells(found: Comparison) -> list[str]:
    return [*map(section.percent, found.means), str(found), str(found.seeds)]


def _grid(framework: str) -> str:
    return ", ".join(f"{rate:g}" for rate in SAMPLES[framework].rates)


def _answers(
    given: dict[str, Comparison],
    tuned: dict[str, Comparison],
    rates: dict[str, dict[str, float | None]],
) -> list[str]:
    def told(framework: str, each: Comparison) -> str:
        sample = SAMPLES[framework]
        theirs = np.mean(sample.do_conv) - np.mean(sample.plain)
        return f"{NAMES[framework]} {each.told} (theirs {theirs:+.2f})"

    theirs = "; ".join(told(framework, each) for framework, each in given.items())
    done = {framework: each for framework, each in tuned.items() if all(rates[framework].values())}
    again = "; ".join(f"{NAMES[framework]} {each.told}" for framework, each in done.items())
    return [
        section.answer(
            "The authors' MNIST samples, as given",
            counted(given.values()),
            f"DO-Conv minus plain in points: {theirs}.",
        ),
        section.answer(
            "The same with a rate tuned for each arm",
            counted(done.values()),
            f"{again or 'Not measured yet'}.",
        ),
    ]


def _picture(
    records: Records, given: dict[str, Comparison], tuned: dict[str, Comparison]
) -> Callable[[], Figure] | None:
    sample = SAMPLES["torch"]
    curves = [
        Band.of(arm, [r["validation"] for r in found if not r["diverged"]])
        for arm in ARMS
        if (found := _runs(records, "torch", sample.images, arm, sample.rate))
    ]
    intervals = []
    for framework, sample in SAMPLES.items():
        theirs = float(np.mean(sample.do_conv) - np.mean(sample.plain))
        intervals.append(Interval(f"{NAMES[framework]}, the authors' five", theirs, theirs, theirs))
        for what, each in (("at their rate", given[framework]), ("tuned", tuned[framework])):
            if each.difference and each.seeds > 1:
                name = f"{NAMES[framework]} {what}, {each.seeds} seeds"
                intervals.append(Interval(name, *each.difference))
    if not curves:
        return None
    return lambda: forest_and_curves(
        intervals, curves, "The authors' samples on MNIST", "PyTorch sample, rate 0.01"
    )
