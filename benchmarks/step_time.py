"""The whole training step (forward, backward, SGD with momentum) against plain training.

python -m benchmarks.step_time --framework torch --preset short
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.plot import ratios_picture
from benchmarks.timing import Ratio, interleave, machine, ratio
from benchmarks.work import WORKS
from doconv_core.atomic import replacing

RESULTS = Path(__file__).parent / "results"


def run(
    framework: Annotated[str, typer.Option(help=f"One of {', '.join(WORKS)}.")] = "torch",
    preset: Annotated[str, typer.Option(help="short or full.")] = "short",
    rounds: Annotated[int, typer.Option(min=1, help="Steps of each way of training.")] = 11,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON.")] = False,
) -> None:
    """Measure steps, interleaved in one process, and write the ratios."""
    if framework not in WORKS or preset not in WORKS[framework]:
        raise typer.BadParameter(f"no work for --framework {framework} --preset {preset}")
    module = importlib.import_module(f"benchmarks.step_{framework}")
    works = WORKS[framework][preset]
    header = f"{machine()}, {module.version()}"
    figures: dict[str, dict[str, Ratio]] = {}
    seconds: dict[str, float] = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("step_time", total=len(works) * rounds)
        for work in works:
            progress.update(task, description=str(work))
            times = interleave(module.steps(work), rounds, lambda: progress.advance(task))
            plain = times["plain"]
            figures[str(work)] = {name: ratio(each, plain) for name, each in times.items()}
            seconds[str(work)] = min(plain)
    record = {
        "benchmark": "step_time",
        "framework": framework,
        "machine": header,
        "rounds": rounds,
        "plain_seconds": seconds,
        "ratios": {w: {n: r._asdict() for n, r in each.items()} for w, each in figures.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    name = f"step_time-{framework}-{preset}"
    with replacing(out / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    ratios_picture(figures, out / f"{name}.png", f"Training step, {framework}: ratio to plain")
    if as_json:
        typer.echo(json.dumps(record))
        return
    console = Console()
    console.print(header, highlight=False)
    for work, each in figures.items():
        console.print(_table(f"{work}: plain {seconds[work] * 1000:.0f} ms", each))
    console.print(f"written: {out / name}.json, .png", soft_wrap=True, highlight=False)


def _table(title: str, ratios: dict[str, Ratio]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("of minima", "median", "quartiles"):
        table.add_column(name, justify="right")
    for name, each in ratios.items():
        spread = f"{each.low:.2f} .. {each.high:.2f}"
        table.add_row(name, f"{each.of_minima:.3f}", f"{each.median:.3f}", spread)
    return table


if __name__ == "__main__":
    typer.run(run)
