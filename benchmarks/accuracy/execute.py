"""Makes the records that a study lacks; may be stopped and resumed at any time."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed, parallel_config

from benchmarks.accuracy import records
from benchmarks.accuracy.data import images
from benchmarks.accuracy.run import Outcome, Recipe, Record, Run, outcome_of, record_of, run_of
from benchmarks.frame.program import machine, versions


class Place(NamedTuple):
    """Where a run finds its images, and is trained; only PyTorch's are on another device."""

    folder: Path = images.FOLDER
    device: str = "cpu"


def execute(run: Run, recipe: Recipe, place: Place) -> Record:
    """Train, and say where and how long (in seconds of the processor)."""
    data = images.load(run.data, run.images, place.folder)
    trainer = importlib.import_module(f"benchmarks.with_{run.framework}.accuracy")
    start = time.process_time()
    elsewhere = {} if place.device == "cpu" else {"device": place.device}
    found: Outcome = trainer.train(run, recipe, data, **elsewhere)
    seconds = round(time.process_time() - start, 1)
    where = f"{trainer.name_of(place.device)}, {machine()}" if elsewhere else machine()
    return record_of(run, found, seconds=seconds, machine=where, versions=versions(run.framework))


def complete(
    missing: Sequence[tuple[Run, Recipe]],
    path: Path,
    place: Place,
    *,
    workers: int = 1,
    backend: str = "loky",
) -> None:
    """Append a record of every run, each as soon as it is trained.

    Args:
        missing: runs and how they are trained.
        path: of the study's records.
        place: of the data and the training.
        workers: processes, of one thread each.
        backend: of joblib: "loky", or "ray" for a cluster.
    """
    start = time.monotonic()
    for done, record in enumerate(_all(missing, workers, backend, place), 1):
        records.append(path, record)
        left = (time.monotonic() - start) / done * (len(missing) - done) / 60
        print(
            f"{_line(record)}  [{done} of {len(missing)}, {left:.0f} min left]",
            file=sys.stderr,
            flush=True,
        )


def differences(recorded: Sequence[tuple[Run, Recipe]], path: Path, place: Place) -> Iterator[str]:
    """Run again what the file holds; a line for each run that comes out otherwise.

    One of DO-Conv does where the compiled kernel has changed since, or is not there.
    """
    there = records.read(path)
    for run, recipe in recorded:
        again = execute(run, recipe, place)
        print(_line(again), file=sys.stderr, flush=True)
        if outcome_of(again) != outcome_of(there[run]):
            yield f"{run}: {outcome_of(there[run])} is now {outcome_of(again)}"


def _all(
    missing: Sequence[tuple[Run, Recipe]], workers: int, backend: str, place: Place
) -> Iterator[Record]:
    if backend == "ray":
        yield from _on_ray(missing, workers, place)
    elif missing:
        with parallel_config("loky", inner_max_num_threads=1):
            parallel = Parallel(workers, return_as="generator_unordered", batch_size=1)
            yield from parallel(delayed(execute)(*each, place) for each in missing)


def _on_ray(missing: Sequence[tuple[Run, Recipe]], workers: int, place: Place) -> Iterator[Record]:
    """Ray 2's backend gives results back when all of a call are there: so a call is one round."""
    from ray.util.joblib import register_ray

    register_ray()
    with parallel_config("ray"):
        for start in range(0, len(missing), workers):
            chunk = missing[start : start + workers]
            yield from Parallel(workers)(delayed(execute)(*each, place) for each in chunk)


def _line(record: Record) -> str:
    last = record["validation"][-1] if record["validation"] else record["test"]
    words = "did not train" if record["diverged"] else f"{last:.2f} %"
    return f"{run_of(record)}: {words}, {record['seconds']:.0f} s"
