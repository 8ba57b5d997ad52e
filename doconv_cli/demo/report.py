"""The demo's words and tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from doconv_cli.demo.experiment import Pairs, Story
from doconv_cli.demo.statistics import Mean, mean, paired_difference
from doconv_core.files.atomic import replacing


def comparison(pairs: Pairs, framework: str) -> Table:
    """Accuracy, time and parameters of plain and DO-Conv."""
    seeds, epochs = pairs.accuracy.shape[1:]
    table = Table(
        title=f"Handwritten digits, {framework}: {seeds} paired seeds, {epochs} epochs",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("accuracy, %\nat the end", "accuracy, %\nall epochs",
                 "step\ntime", "trained\nparameters", "deployed\nparameters"):  # fmt: skip
        table.add_column(name, justify="right")
    scores = (pairs.accuracy[:, :, -1], pairs.accuracy.mean(axis=2))
    ratio = step_time_ratio(pairs)
    plain, trained, folded = pairs.parameters
    rows = (("plain", "1.00", plain, plain), ("DO-Conv", f"{ratio:.2f}", trained, folded))
    for kind, (name, time, *parameters) in enumerate(rows):
        accuracies = (_with_error(mean(score[kind])) for score in scores)
        table.add_row(name, *accuracies, time, *(f"{number:,}" for number in parameters))
    differences = [paired_difference(*score) for score in scores]
    table.add_section()
    table.add_row(
        "difference",
        *(f"{difference.mean:+.2f}" for difference in differences),
        f"{ratio - 1:+.0%}",
        f"{trained - plain:+,}",
        f"{folded - plain:+,}",
    )
    if seeds > 1:
        intervals = (f"{each.low:+.1f}..{each.high:+.1f}" for each in differences)
        table.add_row("95 % interval", *intervals)
    return table


def caveat(pairs: Pairs) -> str:
    """What the comparison is, and no more than it carries."""
    difference = paired_difference(*pairs.accuracy[:, :, -1])
    if difference.low > 0:
        seen = "DO-Conv ends higher here"
    elif difference.high < 0:
        seen = "DO-Conv ends lower here"
    else:
        seen = "No difference at the end is shown here"
    return (
        f"{seen}. This is a small illustration: one network without batch norm, 900 digits, one "
        "learning rate, not tuned; other seeds, rates and machines give other figures. "
        "What controlled runs show is in the project's docs/evidence.md."
    )


def step_time_ratio(pairs: Pairs) -> float:
    """Median over all epochs of the time of a DO-Conv epoch to the plain epoch beside it."""
    plain, ours = pairs.seconds[:, :, 1:] if pairs.seconds.shape[2] > 1 else pairs.seconds
    return float(np.median(ours / plain))


def story(told: Story) -> Table:
    """The way of a trained plain network through convert, training and fold."""
    table = Table(
        title="A trained plain network, converted",
        title_justify="left",
        show_header=False,
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column()
    table.add_column(justify="right")
    plain, converted, reloaded = told.accuracy
    changed = "0: bitwise the same" if told.converted == 0 else f"{told.converted:.3g}"
    table.add_row("test accuracy, plain", f"{plain:.2f} %")
    table.add_row("largest change of an output by convert", changed)
    table.add_row("test accuracy, converted and trained on", f"{converted:.2f} %")
    table.add_row(
        "largest change of an output by fold",
        f"{told.folded:.1e} (outputs reach {told.largest:.0f})",
    )
    table.add_row("largest change by saving, loading strictly", f"{told.reloaded:.2g}")
    table.add_row("test accuracy, that file in the plain network", f"{reloaded:.2f} %")
    return table


def _with_error(value: Mean) -> str:
    return f"{value.mean:.2f}" + ("" if np.isnan(value.error) else f" ± {value.error:.2f}")


def write_figures(path: Path, framework: str, seed: int, pairs: Pairs, told: Story) -> None:
    """All figures of a demo, as JSON."""
    figures = {
        "framework": framework,
        "first_seed": seed,
        **{name: np.asarray(value).tolist() for name, value in pairs._asdict().items()},
        "story": {**told._asdict(), "path": str(told.path)},
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
