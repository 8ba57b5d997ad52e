"""Every program for every framework that is installed, each in a process of its own.

python -m benchmarks --preset short
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.frame.program import MEASURED, RESULTS, Preset
from doconv_core.frameworks import FRAMEWORKS

PROGRAMS = {
    "step_time": MEASURED,
    "composition": MEASURED,
    "memory": MEASURED,
    "inference": MEASURED,
    "sweep": MEASURED,
    "accuracy": ("torch",),
}


def main(
    preset: Annotated[Preset, typer.Option(help="How much to measure.")] = Preset.short,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the pictures.")] = RESULTS,
) -> None:
    """Run every benchmark for every framework that is installed."""
    failed = []
    for program, frameworks in PROGRAMS.items():
        for framework in frameworks:
            package = FRAMEWORKS[framework].module
            if importlib.util.find_spec(package) is None:
                typer.echo(f"{program}: {package} is not installed", err=True)
                continue
            start = time.perf_counter()
            arguments = ["--framework", framework, "--preset", preset.value, "--out", str(out)]
            command = [sys.executable, "-m", f"benchmarks.{program}", *arguments]
            if subprocess.run(command, cwd=Path(__file__).parents[1]).returncode:
                failed.append(f"{program} --framework {framework}")
            seconds = time.perf_counter() - start
            typer.echo(f"{program} --framework {framework}: {seconds:.0f} s\n")
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
