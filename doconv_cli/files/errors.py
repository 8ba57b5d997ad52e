"""Exit codes: 0 done, 1 a problem with a file, 2 a problem with what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


class UsageError(Exception):
    """What was asked cannot be done; other options could."""


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an error of the user's or of a file's into one line on stderr and an exit code."""
    try:
        yield
    except UsageError as error:
        _say(str(error))
        raise typer.Exit(2) from None
    except OSError as error:
        # An error of the system has a number; its text then leaves the file's name to us.
        where = f"{error.filename!r}: " if error.errno and error.filename else ""
        _say(where + (error.strerror or str(error)))
        raise typer.Exit(1) from None
    except (ValueError, ImportError) as error:
        _say(str(error))
        raise typer.Exit(1) from None


def _say(text: str) -> None:
    typer.echo("error: " + " ".join(text.split()), err=True)
