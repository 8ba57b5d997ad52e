"""The ``doconv`` command: what it can do, one line per verb."""

from __future__ import annotations

from typing import Annotated

import typer

import doconv_core
from doconv_cli import files
from doconv_cli.cost import cost
from doconv_cli.demo.command import demo

app = typer.Typer(
    name="doconv",
    help="DO-Conv: train over-parameterized convolutions, deploy plain ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is one line, not a box
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"doconv {doconv_core.__version__}")
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


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
