"""Running the commands on files, and what must hold after each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.testing import CliRunner

from doconv_cli.files import register

app = typer.Typer(pretty_exceptions_enable=False)
register(app)


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path) -> Done:
    """Run a command; an exception that it does not report itself is the test's."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def succeed(*arguments: str | Path) -> Done:
    done = run(*arguments)
    assert done.code == 0, done.err
    return done


def fail(code: int, *arguments: str | Path) -> str:
    """Run a command that must fail with one line on stderr and leave all files as they were."""
    folder = next(Path(a).parent for a in arguments[1:] if isinstance(a, Path))
    before = contents(folder)
    done = run(*arguments)
    assert done.code == code, done.err
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert contents(folder) == before
    return done.err


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
