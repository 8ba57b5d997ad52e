"""Run a study: what it lacks is trained and recorded; what is there stays.

python -m benchmarks.accuracy --study authors --only framework=torch
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy import execute, records
from benchmarks.accuracy.data import images
from benchmarks.accuracy.run import Recipe, Run
from benchmarks.accuracy.studies import STUDIES
from benchmarks.accuracy.studies.study import Study

StudyName = Enum("StudyName", {name: name for name in STUDIES}, type=str)


class Backend(str, Enum):
    """What ``--backend`` takes: joblib's own processes, or a Ray cluster."""

    loky = "loky"
    ray = "ray"


def main(
    study: Annotated[StudyName, typer.Option(help="Which question.")],
    size: Annotated[
        str, typer.Option(help="How much of it; quick only shows that it works.")
    ] = "full",
    only: Annotated[
        list[str] | None,
        typer.Option(help="Keep runs with a field's value: framework=torch. Again for more."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 1,
    backend: Annotated[Backend, typer.Option(help="Where they run.")] = Backend.loky,
    data: Annotated[Path, typer.Option(help="Holds the folders of data.")] = images.FOLDER,
    device: Annotated[
        str, typer.Option(help="Of PyTorch's runs: cpu, or cuda; give it folders of its own.")
    ] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder of the records.")] = records.COMMITTED,
    list_: Annotated[bool, typer.Option("--list", help="Name the missing runs only.")] = False,
    repeat: Annotated[
        bool, typer.Option(help="Run recorded ones again; exit 1 if a digit differs.")
    ] = False,
) -> None:
    """Run what a study lacks, resuming where it stopped."""
    chosen: Study = STUDIES[study.value]
    if size not in chosen.budgets:
        raise typer.BadParameter(f"{study.value} comes as {', '.join(chosen.budgets)}")
    path, place = out / f"{study.value}.jsonl", execute.Place(data, device)

    def wanted() -> list[tuple[Run, Recipe]]:
        runs = dict.fromkeys(chosen.runs(chosen.budgets[size], records.read(path)))
        return [(run, chosen.recipe(run)) for run in runs if _is_kept(run, only or [])]

    if not wanted():
        raise typer.BadParameter(f"{study.value} has no run of {', '.join(only or [])}")
    if repeat:
        recorded = [each for each in wanted() if each[0] in records.read(path)]
        different = list(execute.differences(recorded, path, place))
        typer.echo("\n".join(different) or f"{len(recorded)} repeated, the same to the last digit")
        raise typer.Exit(bool(different) or not recorded)
    while missing := [each for each in wanted() if each[0] not in records.read(path)]:
        if list_:
            typer.echo("\n".join(str(run) for run, _ in missing))
            return
        try:
            execute.complete(missing, path, place, workers=workers, backend=backend.value)
        except (FileNotFoundError, ImportError) as error:
            typer.echo(f"{study.value}: {error}", err=True)
            raise typer.Exit(1) from None
    typer.echo(f"complete: {path}")


def _is_kept(run: Run, only: list[str]) -> bool:
    """Whether each field that is named has one of the values given for it."""
    values: dict[str, set[str]] = {}
    for each in only:
        name, _, value = each.partition("=")
        if name not in Run.__dataclass_fields__:
            raise typer.BadParameter(f"a run has no {name}: {', '.join(Run.__dataclass_fields__)}")
        values.setdefault(name, set()).add(value)
    return all(str(getattr(run, name)) in accepted for name, accepted in values.items())


if __name__ == "__main__":
    typer.run(main)
