"""The tests in their environments, with progress while they run and one table at the end.

    python tests/environments.py              every run
    python tests/environments.py star jax     some of them
    python tests/environments.py check -- -x  with arguments for pytest
    python tests/environments.py --coverage   with what they execute recorded in build/coverage/

Needs the standard library alone; the Makefile makes the environments. Each run keeps to one core,
for threads that wait for one another spin; three go side by side on two cores, since each waits at
times for a file or for a process of its own. Whole outputs: build/tests/.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "tests"
AT_ONCE = 3
SLOWEST = "--durations=20"
"""Their times are in the output."""
STEP = 10
"""Percentage points between two lines of progress."""


class Run(NamedTuple):
    """One call of pytest: in which environment, with which variables and arguments.

    Or of another command, where one is given.
    """

    environment: str
    variables: dict[str, str]
    arguments: list[str]
    command: tuple[str, ...] = ()


_CORE = ["tests/core/test_kernel.py", "tests/core/test_condconv.py", "tests/core/test_xsepconv.py",
         "tests/core/test_planning.py", "tests/core/test_summary.py"]  # fmt: skip
_ALL = {"DOCONV_BACKENDS": "torch,keras,tf_keras,gluon", "KERAS_BACKEND": "tensorflow"}
_QUICKLY_COMPILED = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false"
}
"""For XLA, of JAX and TensorFlow: there are thousands of functions, each runs once or twice. It
leaves out LLVM's passes, and writes fused loops as LLVM's code without MLIR between; XLA's own
passes, which fuse and simplify operations, stay."""
_STAR = ["tests/core", "tests/star"]
_KERAS = ["tests/keras_adapter", "tests/tf_keras_adapter"]
_OTHERS = ["tests/torch_adapter", "tests/gluon_adapter"]
_ARRAYS = (
    *("at_optimizer", "conversion", "layers", "neutral_state", "official", "precision"),
    *("random_use", "start", "state_dict", "subclasses", "summary"),
)
RUNS = {
    # All four frameworks in one process, which needs NumPy 1.26: MXNet wants it below 2.
    "star": Run(".venv-star", _ALL, ["--doctest-modules", *_STAR, "doconv_core", "doconv_torch"]),
    # The adapters, in the same environment.
    "keras": Run(
        ".venv-star",
        {**_ALL, "DOCONV_BACKENDS": "torch,keras,tf_keras", **_QUICKLY_COMPILED},
        _KERAS,
    ),
    "torch-gluon": Run(".venv-star", {**_ALL, "DOCONV_BACKENDS": "torch,gluon"}, _OTHERS),
    # Everything else that there is: the command, files, benchmarks, pages, the house itself.
    "rest": Run(
        ".venv-star",
        _ALL,
        ["tests", *(f"--ignore={path}" for path in (*_STAR, *_KERAS, *_OTHERS, "tests/zoo"))],
    ),
    # The core alone, on the oldest NumPy that it supports.
    "oldest": Run(".venv-oldest", {}, _CORE),
    # NumPy 2: Keras on its JAX and PyTorch backends, and PyTorch, without the compiled kernel.
    "jax": Run(
        ".venv-modern",
        {
            "DOCONV_BACKENDS": "keras",
            "KERAS_BACKEND": "jax",
            # It hands every eager operation to the compiler, which need not divide it again.
            "XLA_FLAGS": _QUICKLY_COMPILED["XLA_FLAGS"]
            + " --xla_cpu_parallel_codegen_split_count=1",
        },
        # The compiled kernel knows no NumPy.
        [*_STAR, "--ignore=tests/core/test_native.py", "tests/keras_adapter"],
    ),
    "keras-on-torch": Run(
        ".venv-modern",
        {"DOCONV_BACKENDS": "torch,keras", "KERAS_BACKEND": "torch", "DOCONV_NATIVE": "0"},
        ["tests/star", "tests/stored", "tests/keras_adapter"]
        + [f"tests/torch_adapter/test_{name}.py" for name in _ARRAYS],
    ),
    # Linters and type checkers, in the Makefile.
    "lint": Run("", {}, [], ("make", "lint")),
    # The code on the documentation's pages.
    "docs": Run(
        ".venv-star",
        _ALL,
        ["tests/docs", "tests/test_readme.py"],
    ),
    # For the time between two commits.
    "check": Run(
        ".venv-star",
        {"DOCONV_BACKENDS": "torch"},
        ["tests/core", "tests/star", "tests/architecture"],
    ),
}
PYTESTS = ("jax", "keras", "rest", "torch-gluon", "star", "keras-on-torch", "oldest")
TESTED = ("lint", *PYTESTS)
"""What `make test` runs: whichever is next, the long ones first after lint, which is soon done and
most often red."""


class Outcome(NamedTuple):
    """How a run ended."""

    status: int
    counts: dict[str, int]
    seconds: float
    log: Path


def perform(
    name: str, modules: list[str], extra: list[str], say: Say, running: list[subprocess.Popen[str]]
) -> Outcome:
    """One run; its progress is said, its output goes to a file."""
    run, start = RUNS[name], time.monotonic()
    python = str(ROOT / run.environment / "bin" / "python")
    command = [python, *modules, "--color=no", SLOWEST, *run.arguments, *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **run.variables}
    log = LOGS / f"{name}.log"
    last, text = 0, ""
    with log.open("w") as file:
        process = subprocess.Popen(
            run.command or command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            text = line.strip() or text
            done = re.search(r"\[ *(\d+)%\]$", line.rstrip())
            if done and int(done[1]) >= last + STEP:
                last = int(done[1]) // STEP * STEP
                say(f"{name}: {last} %, {_clock(time.monotonic() - start)}")
        status = process.wait()
    counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", text)}
    say(f"{name}: {text.strip('= ')}")
    return Outcome(status, counts, time.monotonic() - start, log)


class Say:
    """Prints whole lines from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock:
            print(text, flush=True)  # noqa: T201


def main(arguments: list[str]) -> int:
    names, _, extra = _split(arguments)
    modules = ["-m", "pytest"]
    if "--coverage" in names:
        names.remove("--coverage")
        modules = ["-m", "coverage", "run", *modules]
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        raise SystemExit(f"no such run: {', '.join(unknown)}; there are {', '.join(RUNS)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = names or list(PYTESTS if "coverage" in modules else TESTED)
    waiting = queue.SimpleQueue[str]()
    for name in wanted:
        waiting.put(name)
    say, outcomes, running = Say(), dict[str, Outcome](), list[subprocess.Popen[str]]()

    def drive() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                name = waiting.get_nowait()
                outcomes[name] = perform(name, modules, extra, say, running)

    threads = [threading.Thread(target=drive, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
    except KeyboardInterrupt:
        for process in running:
            process.terminate()
        return 130
    return _report(outcomes, len(wanted), say)


def _report(outcomes: dict[str, Outcome], expected: int, say: Say) -> int:
    for name, outcome in outcomes.items():
        if outcome.status:
            say(f"\n{name} failed; the end of {outcome.log}:\n{_failures(outcome.log)}")
    say(f"\n{'run':16}{'passed':>8}{'failed':>8}{'skipped':>9}{'time':>8}")
    sums = {"passed": 0, "failed": 0, "skipped": 0}
    for name, outcome in outcomes.items():
        found = {word: outcome.counts.get(word, 0) for word in sums}
        found["failed"] += outcome.counts.get("error", 0) + outcome.counts.get("errors", 0)
        sums = {word: sums[word] + found[word] for word in sums}
        row = f"{found['passed']:8}{found['failed']:8}{found['skipped']:9}"
        say(f"{name:16}{row}{_clock(outcome.seconds):>8}")
    say(", ".join(f"{number} {word}" for word, number in sums.items()))
    good = len(outcomes) == expected and not any(each.status for each in outcomes.values())
    return 0 if good and sums["passed"] else 1


def _failures(log: Path) -> str:
    text = log.read_text(errors="replace")
    start = max(text.find("= FAILURES ="), text.find("= ERRORS ="))
    return text[start if start > 0 else -20_000 :][-20_000:]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _split(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in arguments:
        return arguments, "", []
    at = arguments.index("--")
    return arguments[:at], "--", arguments[at + 1 :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
