"""Each variant against the plain network at the same rate."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from benchmarks.accuracy.evidence import section
from benchmarks.accuracy.evidence.compare import Comparison, compare, counted
from benchmarks.accuracy.evidence.draw import Interval, forests
from benchmarks.accuracy.evidence.section import Section
from benchmarks.accuracy.run import Record
from benchmarks.accuracy.studies.ablation import ARMS, STUDY, SUBJECTS
from benchmarks.accuracy.studies.study import Records

NAMES = {"sample": "the authors' PyTorch sample (no norm)", "plain": "plain, batch norm"}
VARIANTS = ARMS[1:]


def made(records: Records) -> Section:
    size, budget = section.budget(STUDY, records)
    example = next(iter(STUDY.runs(budget, records)))
    records = section.of_size(records, example)
    body = [
        f"Test accuracy beyond the plain network's at the same rate, {example.images:,} training "
        f"images, {example.epochs} epochs, up to {budget.seeds} paired seeds. D starts as the "
        "identity, with K columns, trained at W's rate, unless the row says otherwise. "
        '"Norm-matched": no kernel\'s step is longer than the plain step for the same gradients, '
        "which tells the direction of DO-Conv's steps from their length. \"Authors' start\": all "
        'columns of W are drawn. "D random": I + D is drawn so that the kernel keeps its '
        "variance. Where runs did not train there are counts (plain and variant), no interval.",
    ]
    panels = {}
    for network, subject in SUBJECTS.items():
        rates = [r for r in subject.rates if _of(records, network, "plain", r)]
        found = {arm: [_compare(records, network, arm, rate) for rate in rates] for arm in VARIANTS}
        found = {arm: each for arm, each in found.items() if any(c.seeds for c in each)}
        if not found:
            continue
        plain = [_compare(records, network, "plain", rate) for rate in rates]
        body += [
            f"{NAMES[network]}, {subject.data}:",
            section.table(
                ("", *(f"rate {rate:g}" for rate in rates), "seeds"),
                [
                    ["plain, accuracy", *(_plain(each) for each in plain), _seeds(plain)],
                    *([arm, *map(str, each), _seeds(each)] for arm, each in found.items()),
                ],
            ),
        ]
        for index, rate in enumerate(rates):
            panels[f"{NAMES[network]}, rate {rate:g}"] = [
                Interval(arm, *each[index].difference)
                for arm, each in found.items()
                if each[index].difference and each[index].seeds > 1
            ]
    body.append(section.state(STUDY, size, records))
    return Section(
        "What in it does it",
        "\n\n".join(body),
        _answers(records, section.caution(size, example)),
        _picture(panels),
    )


def _of(records: Records, network: str, arm: str, rate: float) -> list[Record]:
    return [
        record
        for run, record in sorted(records.items())
        if (run.network, run.arm, run.rate) == (network, arm, rate)
    ]


def _compare(records: Records, network: str, arm: str, rate: float) -> Comparison:
    return compare(_of(records, network, "plain", rate), _of(records, network, arm, rate))


def _plain(found: Comparison) -> str:
    lost = f", {found.lost[0]} of {found.seeds} did not train" if found.lost[0] else ""
    return f"{section.percent(found.means[0])}{lost}"


def _seeds(found: list[Comparison]) -> str:
    least, most = min(each.seeds for each in found), max(each.seeds for each in found)
    return str(most) if least == most else f"{least} .. {most}"


def _answers(records: Records, caution: str) -> list[str]:
    told, matched = [], []
    for network, subject in SUBJECTS.items():
        rate = subject.rates[0]
        found = {arm: _compare(records, network, arm, rate) for arm in ("DO-Conv", "norm-matched")}
        if any(each.seeds for each in found.values()):
            figures = "; ".join(f"{arm} {each.told}" for arm, each in found.items())
            told.append(f"{NAMES[network]}, rate {rate:g}: {figures}")
            matched.append(found["norm-matched"])
    return [
        section.answer(
            "Its direction alone, no step longer than plain's (norm-matched)",
            counted(matched),
            f"{caution}{'. '.join(told) or 'not measured yet'}.",
        )
    ]


def _picture(panels: dict[str, list[Interval]]) -> Callable[[], Figure] | None:
    drawn = {name: panel for name, panel in panels.items() if panel}
    title = "Test accuracy beyond plain at the same rate (runs that did not train: see the table)"
    return (lambda: forests(drawn, title)) if drawn else None
