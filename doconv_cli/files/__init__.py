"""The ``doconv`` commands on files, for people who have a checkpoint and not the code."""

from __future__ import annotations

import typer

from doconv_cli.files.verbs.convert import convert
from doconv_cli.files.verbs.fold import fold
from doconv_cli.files.verbs.inspect import inspect


def register(app: typer.Typer) -> None:
    """Add ``inspect``, ``fold`` and ``convert`` to the command."""
    for command in (inspect, fold, convert):
        app.command()(command)
