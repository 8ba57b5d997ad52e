"""``doconv demo``: the command line."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from doconv_cli.demo.trainers import trainer as trainers
from doconv_core.frameworks import FRAMEWORKS

Framework = Enum("Framework", {name: name for name in FRAMEWORKS}, type=str)  # type: ignore[misc]
"""What ``--framework`` takes."""

FIRST = Framework("torch")


def demo(
    framework: Annotated[Framework, typer.Option(help="What to train with.")] = FIRST,
    seeds: Annotated[int, typer.Option(min=1, help="Pairs of networks to train.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path(
        "doconv-demo"
    ),
) -> None:
    """Train plain and DO-Conv networks on real digits, convert, fold, and compare."""
    console, errors = Console(), Console(stderr=True)
    try:
        trainer = trainers.load(framework.value)
    except ImportError as error:
        extra = FRAMEWORKS[framework.value].extra
        errors.print(
            f"doconv demo --framework {framework.value}: {error}.  "
            f"pip install 'doconv-layers\\[{extra},demo]'",
            soft_wrap=True,
        )
        raise typer.Exit(1) from None
    # scikit-learn and matplotlib take seconds to import; a mistyped option should not wait.
    from doconv_cli.demo import experiment, plot, report

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        errors.print(f"doconv demo: cannot write to {out}: {error.strerror}.", soft_wrap=True)
        raise typer.Exit(1) from None
    data = experiment.digits()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("epochs"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("plain and DO-Conv", total=seeds * epochs)
        pairs = experiment.train_pairs(
            trainer,
            data,
            first_seed=seed,
            seeds=seeds,
            epochs=epochs,
            advance=lambda: progress.advance(task),
        )
        again = progress.add_task("convert, train on, fold", total=2 * epochs)
        told = experiment.convert_train_fold(
            trainer, data, out, seed=seed, epochs=epochs, advance=lambda: progress.advance(again)
        )
    console.print(report.comparison(pairs, framework.value))
    console.print(report.caveat(pairs), highlight=False)
    console.print(report.story(told))
    curves, figures = out / "curves.png", out / "results.json"
    plot.learning_curves(pairs, curves, f"Handwritten digits, {framework.value}")
    report.write_figures(figures, framework.value, seed, pairs, told)
    for name, path in (("learning curves", curves), ("folded network", told.path),
                       ("all figures", figures)):  # fmt: skip
        console.print(f"{name}: {path}", soft_wrap=True, highlight=False)
