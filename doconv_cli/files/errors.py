"""Exit codes: 0 done, 1 a problem with a file, 2 a problem with what was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from doconv_cli.text import printable


class UsageError(Exception):
    """What was asked cannot be done; other options could."""


class VerifyError(Exception):
    """What was written is not what it should be."""


class PrintingError(Exception):
    """All was done, but what to say of it could not be said."""


@contextmanager
def exit_codes(file: Path) -> Iterator[None]:
    """Turn an error of the user's or of a file's into one line on stderr and an exit code.

    Args:
        file: what the command reads; a message that names no file gets its name.
    """
    try:
        yield
    except UsageError as error:
        _say(file, str(error))
        raise typer.Exit(2) from None
    except OSError as error:
        # An error of the system has a number; its text then leaves the file's name to us.
        known = error.filename if error.errno and error.filename else None
        _say(Path(str(known)) if known else file, error.strerror or str(error))
        raise typer.Exit(1) from None
    except MemoryError:
        _say(file, "there is not enough memory for it")
        raise typer.Exit(1) from None
    except (ValueError, ImportError, VerifyError) as error:
        _say(file, str(error))
        raise typer.Exit(1) from None
    except PrintingError as error:
        _say(file, str(error))
        _leave_stdout()
        raise typer.Exit(1) from None


def _say(file: Path, text: str) -> None:
    name = repr(str(file))
    if name[1:-1] not in text:
        text = f"{name}: {text}"
    typer.echo("error: " + printable(" ".join(text.split())), err=True)


def _leave_stdout() -> None:
    """Keep Python from failing once more when it closes what cannot be written."""
    with suppress(OSError, ValueError):  # a test's has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
