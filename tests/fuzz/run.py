"""``make fuzz``: damaged and hostile files for every verb; what must not happen, counted.

    python -m tests.fuzz.run [--seed 0] [--mutants 2000] [--formats pt,keras]

Each file goes through ``inspect``, ``fold --verify`` and, by turns, ``convert``, in a process that
watches itself: no traceback, no process started, nothing written outside OUT's folder, no partial
or left-over file, at most a gigabyte of memory and half a minute for a few kilobytes.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import io
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from tests.cli.command import app
from tests.fuzz.formats import FORMATS, sound
from tests.fuzz.hostile import hostile
from tests.fuzz.mutants import mutants

BATCH = 1000
KERAS = (".keras", ".weights.h5", ".h5")
SECONDS = 30
BYTES = 1 << 30
_STARTS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork",
           "socket.connect", "os.startfile", "pty.spawn")  # fmt: skip
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.symlink", "os.link", "shutil.rmtree")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Notes what the interpreter does that no reader of files should do."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _STARTS:
            self.seen.append(f"{event}{args[:2]}")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            mode, flags = args[1] or "", args[2] or 0
            if set(str(mode)) & set("wax+") or (isinstance(flags, int) and flags & _WRITES):
                self._inside(os.fsdecode(args[0]), event)
        elif event in _CHANGES and not (isinstance(args[-1], int) and args[-1] >= 0):
            self._inside(os.fsdecode(args[0]), event)  # not a name in a folder that is open

    def _inside(self, path: str, event: str) -> None:
        assert self.folder is not None
        whole = os.path.realpath(path)
        scratch = (str(self.folder), "/dev/", tempfile.gettempdir() + "/tmp")
        if not whole.startswith(scratch):
            self.seen.append(f"{event} {path}")


def commands(path: Path, out: Path, options: Sequence[str], turn: int) -> Iterator[list[str]]:
    """What is done with one file."""
    model = [*options[options.index("--model") :][:2]] if "--model" in options else []
    yield ["inspect", str(path), "--json", *model]
    yield ["fold", str(path), str(out), "--verify", *options]
    if turn % 3 == 0:
        own = [each for each in options if each not in ("--kernel-size", "square")]
        yield ["convert", str(path), str(out), "--groups", "1", *own]


class Done(NamedTuple):
    code: Any
    out: str
    err: str


def run(*arguments: str) -> Done:
    """Run the command; what is built of its options is built once."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            _command().main(list(arguments), prog_name="doconv")
        except SystemExit as end:
            code = end.code or 0
    return Done(code, out.getvalue(), err.getvalue())


@cache
def _command() -> Any:
    return get_command(app)


def faults(
    folder: Path, suffix: str, data: bytes, options: Sequence[str], turn: int, watch: Watch | None
) -> list[str]:
    """Give one file to the command; what went wrong."""
    path, out = folder / f"file{suffix}", folder / f"out{suffix}"
    path.write_bytes(data)
    found = []
    for command in commands(path, out, options, turn):
        if watch is not None:
            watch.folder = folder
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = run(*command)
        except BaseException as fault:
            found.append(f"{command[0]}: {type(fault).__name__}: {fault}"[:300])
        else:
            lines = done.err.splitlines()
            if done.code not in (0, 1, 2):
                found.append(f"{command[0]}: exit code {done.code}")
            if done.code and not (len(lines) == 1 and lines[0].startswith("error: ")):
                found.append(f"{command[0]}: said {done.err[:300]!r}")
            if any(not c.isprintable() and c != "\n" for c in done.out + done.err):
                found.append(f"{command[0]}: printed what is no text")
            if out.exists() != (done.code == 0 and command[0] != "inspect"):
                found.append(f"{command[0]}: exit code {done.code}, OUT {out.exists()}")
        finally:
            if watch is not None:
                found += [f"{command[0]}: {seen}" for seen in watch.seen]
                watch.seen.clear()
                watch.folder = None
        out.unlink(missing_ok=True)
        left = [each.name for each in folder.iterdir() if each != path and each.suffix != ".keras"]
        if left:
            found.append(f"{command[0]}: left {left}")
            for name in left:
                (folder / name).unlink()
    path.unlink()
    return found


def _work(items: list[tuple[str, str, bytes, int]], results: Any) -> None:
    """A process of its own: what it has reported stays, should it be killed."""
    faulthandler.enable()
    for module in ("torch", "doconv_torch", "keras", "doconv_tf", "h5py", "matplotlib.figure"):
        import_module(module)  # what they do then is not the file's doing
    gc.freeze()  # Keras's folding looks through all objects: not through the frameworks' own
    watch = Watch()
    beside: dict[str, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        for label, suffix, data, turn in items:
            folder = Path(scratch)
            name = label.rpartition("#")[0]
            options: tuple[str, ...] = ("--transposed", "none")
            if name in FORMATS:
                options = FORMATS[name].options
                make = FORMATS[name].beside
                if make is not None:
                    if name not in beside:
                        (folder / "models").mkdir()
                        beside[name] = make(folder / "models")
                    options += beside[name]
            (folder / "work").mkdir(exist_ok=True)
            before, start = _peak(), time.monotonic()
            signal.alarm(SECONDS)
            found = faults(folder / "work", suffix, data, options, turn, watch)
            signal.alarm(0)
            grown = _peak() - before
            if grown > BYTES:
                found.append(f"took {grown >> 20} MiB")
            results.put((label, found, time.monotonic() - start))
            if suffix in KERAS:
                sys.modules["keras"].backend.clear_session()  # or each model makes the next slower
    results.put(None)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def batches(items: list[tuple[str, str, bytes, int]]) -> Iterator[tuple[str, list[str]]]:
    """Run them in processes; one that dies names the file it died of, and the next goes on."""
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    while items:
        batch, items = items[:BATCH], items[BATCH:]
        while batch:
            results = context.SimpleQueue()
            process = context.Process(target=_work, args=(batch, results))
            process.start()
            done = 0
            while True:
                while results.empty() and process.is_alive():
                    time.sleep(0.01)
                if results.empty():
                    break
                item = results.get()
                if item is None:
                    break
                done += 1
                yield item[0], item[1]
            process.join()
            if done < len(batch):
                yield batch[done][0], [f"the process ended with {process.exitcode}"]
                done += 1
            batch = batch[done:]


def main() -> int:
    """Print a line for every fault, then a table; the exit status is whether there was any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutants", type=int, default=2000, help="of each format")
    parser.add_argument("--formats", default=",".join(FORMATS))
    chosen = parser.parse_args()
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    trace = Path(tempfile.gettempdir()) / f"fuzz-trace-{os.getpid()}"

    def take(items: list[tuple[str, str, bytes, int]]) -> None:
        for label, found in batches(items):
            name = label.rpartition("#")[0]
            counts[name] += 1
            if trace.exists():
                trace.unlink()
                found = [*found, "code of the file ran"]
            if found:
                wrong[name] += 1
                print(f"{label}: {'; '.join(found)}", flush=True)

    take([(f"hostile {name}#", suffix, data, 0) for name, (suffix, data) in hostile(trace).items()])
    hostile_files = sum(counts.values())
    for name in chosen.formats.split(","):
        data = sound(name)
        files = mutants(data, chosen.seed, chosen.mutants)
        start = time.monotonic()
        take([(f"{name}#{i}", FORMATS[name].suffix, each, i) for i, each in enumerate(files)])
        print(f"{name}: {counts[name]} mutants, {wrong[name]} wrong, "
              f"{time.monotonic() - start:.0f} s", flush=True)  # fmt: skip
    total = sum(wrong.values())
    print(f"{sum(counts.values()) - hostile_files} mutants and {hostile_files} hostile files, "
          f"seed {chosen.seed}: {total} wrong")  # fmt: skip
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
