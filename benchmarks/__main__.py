"""Every program for every framework that is installed, each in a process of its own.

python -m benchmarks --preset short
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.frame.program import MEASURED, RESULTS, Preset
from doconv_core.frameworks import FRAMEWORKS

ROOT = Path(__file__).parents[1]

PROGRAMS = ("step_time", "composition", "memory", "inference", "sweep")
STUDIES = {
    "torch": ("authors", "rates", "ablation", "family"),
    "keras": ("authors",),
    "gluon": ("authors",),
}
"""Of accuracy, by framework: at their quick size, which only shows that they work."""


def main(
    preset: Annotated[Preset, typer.Option(help="How much to measure.")] = Preset.short,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the pictures.")] = RESULTS,
) -> None:
    """Run every benchmark for every framework that is installed."""
    failed = []
    for framework in MEASURED:
        module = FRAMEWORKS[framework].module
        if importlib.util.find_spec(module) is None:
            typer.echo(f"{module} is not installed", err=True)
            continue
        for arguments in _commands(framework, preset.value, out):
            start = time.perf_counter()
            if subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT).returncode:
                failed.append(" ".join(arguments))
            typer.echo(f"{' '.join(arguments)}: {time.perf_counter() - start:.0f} s\n")
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _commands(framework: str, preset: str, out: Path) -> Iterator[list[str]]:
    options = ["--framework", framework, "--preset", preset, "--out", str(out)]
    for program in PROGRAMS:
        yield [f"benchmarks.{program}", *options]
    quick = ["--size", "quick", "--only", f"framework={framework}", "--out", str(out / "quick")]
    for study in STUDIES[framework]:
        yield ["benchmarks.accuracy", "--study", study, *quick]


if __name__ == "__main__":
    typer.run(main)
