"""What every program here shares: its options, its progress bar, and what it writes.

A program is one function, ``measure(settings, bar) -> Report``; :func:`command` makes it a command.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.frame.plot import save
from benchmarks.subjects.work import USUAL, Variant
from doconv_core.files.atomic import replacing
from doconv_core.frameworks import FRAMEWORKS
from doconv_core.native import library

RESULTS = Path(__file__).parents[1] / "results"
ROUNDS = "How often each way is measured; else by the preset."

MEASURED = ("torch", "keras", "gluon")
"""What most programs are written for."""

Framework = Enum("Framework", {name: name for name in MEASURED}, type=str)  # type: ignore[misc]
"""What ``--framework`` takes."""

FIRST = Framework("torch")


class Preset(str, Enum):
    """What ``--preset`` takes; "tiny" only shows that a program works."""

    tiny = "tiny"
    short = "short"
    full = "full"


class Device(str, Enum):
    """What ``--device`` takes."""

    cpu = "cpu"
    cuda = "cuda"


class Dtype(str, Enum):
    """What ``--dtype`` takes; "bfloat16" is autocast's."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Settings(NamedTuple):
    """What a measurement is asked for."""

    framework: str
    preset: str
    rounds: int
    variant: Variant = USUAL


class Report(NamedTuple):
    """What a measurement gives: figures for the JSON, the same as tables, and as a picture."""

    figures: dict[str, Any]
    tables: list[Table]
    picture: Figure


class Bar:
    """A progress bar, whose length the measurement tells when it knows it."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._task = progress, progress.add_task(name, total=None)

    def total(self, total: int) -> None:
        self._progress.update(self._task, total=total)

    def says(self, text: object) -> None:
        self._progress.update(self._task, description=str(text))

    def advance(self) -> None:
        self._progress.advance(self._task)


Measure = Callable[[Settings, Bar], Report]


def command(name: str, measure: Measure, *, rounds: Mapping[str, int]) -> typer.Typer:
    """A command with the common options.

    Args:
        name: of the program and of its files.
        measure: does the work. Its docstring is the command's help.
        rounds: how many there are by preset, unless asked otherwise.
    """

    def main(
        framework: Annotated[Framework, typer.Option(help="What to measure.")] = FIRST,
        preset: Annotated[Preset, typer.Option(help="How much of it.")] = Preset.short,
        rounds_: Annotated[int | None, typer.Option("--rounds", min=1, help=ROUNDS)] = None,
        out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
        as_json: Annotated[bool, typer.Option("--json", help="Print the JSON.")] = False,
        device: Annotated[Device, typer.Option(help="PyTorch's.")] = Device.cpu,
        dtype: Annotated[Dtype, typer.Option(help="PyTorch's, by autocast.")] = Dtype.float32,
        channels_last: Annotated[bool, typer.Option("--channels-last", help="PyTorch's.")] = False,
        compiled: Annotated[bool, typer.Option("--compile", help="By torch.compile.")] = False,
    ) -> None:
        variant = Variant(device.value, dtype.value, channels_last, compiled)
        if variant != USUAL and framework != FIRST:
            typer.echo("--device, --dtype, --channels-last and --compile are PyTorch's", err=True)
            raise typer.Exit(2)
        count = rounds_ or rounds[preset.value]
        settings = Settings(framework.value, preset.value, count, variant)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TimeElapsedColumn())  # fmt: skip
        try:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                devices = _devices(settings)
                report = measure(settings, Bar(progress, name))
        except ImportError as error:
            typer.echo(f"{name} --framework {framework.value}: {error}", err=True)
            raise typer.Exit(1) from None
        _write(name, settings, devices, report, out, as_json)

    main.__doc__ = measure.__doc__
    app = typer.Typer(add_completion=False)
    app.command()(main)
    return app


def _write(
    name: str, settings: Settings, devices: list[str], report: Report, out: Path, as_json: bool
) -> None:
    header = ", ".join([machine(), *devices, versions(settings.framework)])
    header += f", {library.status()}"
    asked = settings._asdict() | {"variant": settings.variant._asdict()}
    record = {"benchmark": name, "machine": header, **asked, **report.figures}
    out.mkdir(parents=True, exist_ok=True)
    given = [
        field.replace("_", "-") if value is True else value
        for field, value in settings.variant._asdict().items()
        if value != getattr(USUAL, field)
    ]
    stem = out / "-".join([name, settings.framework, settings.preset, *given])
    with replacing(stem.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    save(report.picture, stem.with_suffix(".png"))
    if as_json:
        typer.echo(json.dumps(record))
        return
    console = Console()
    if not console.is_terminal:  # a file has no width; rich would take 80
        console = Console(width=120)
    console.print(header, highlight=False)
    for table in report.tables:
        console.print(table)
    console.print(f"written: {stem}.json, .png", soft_wrap=True, highlight=False)


def _devices(settings: Settings) -> list[str]:
    """Beside the processor.

    Raises:
        ImportError: the one that is asked for is not there.
    """
    if settings.variant.device == "cpu":
        return []
    devices = importlib.import_module(f"benchmarks.with_{settings.framework}.devices")
    return [devices.name(settings.variant.device)]


def machine() -> str:
    """The processor, and how many cores and threads this process may use."""
    threads = os.environ.get("OMP_NUM_THREADS")
    limit = f" (OMP_NUM_THREADS={threads})" if threads else ""
    return f"{processor()}{limit}, Python {platform.python_version()}"


def processor() -> str:
    """Its name, and how many of its cores this process may use."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


def versions(framework: str) -> str:
    """Of the framework's packages that are installed."""
    found = []
    for package in FRAMEWORKS[framework].packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
