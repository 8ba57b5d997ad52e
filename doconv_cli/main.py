"""The ``doconv`` command: what it can do, one line per verb."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import doconv_core
from doconv_cli import files
from doconv_cli.cost import cost
from doconv_cli.demo.command import demo
from doconv_core.native import library

app = typer.Typer(
    name="doconv",
    help="DO-Conv: train over-parameterized convolutions, deploy plain ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is one line, not a box
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"doconv {doconv_core.__version__}, {library.status()}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(demo)
app.command()(cost)
files.register(app)


def run() -> None:
    """Entry point of the command."""
    for name in ("SIGTERM", "SIGHUP"):  # so that what is half written is removed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
    app()


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    run()
