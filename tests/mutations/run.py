"""Whether the tests can fail: each known mistake is put in, and a named test must catch it.

    python -m tests.mutations.run              every mutant of tests/mutations/edits.py
    python -m tests.mutations.run torch core   those of some frameworks

Each mutant is edited into a temporary copy of the source, never into this tree, and its test runs
there in a process of its own. Exit status 0: an assertion of the test that is named for it catches
every mutant. 1: one survives, or breaks the test without reaching an assertion. An edit whose text
is not in the source any more, or a test that fails without a mutant, is an error before all that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.edits import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ("test_native.py", "test_memory.py")
"""Where the tests are that need the compiled kernel."""
SOURCES = ("doconv_core", "doconv_keras", "doconv_torch", "doconv_tf", "doconv_tf_keras",
           "doconv_gluon", "doconv_cli", "tests")  # fmt: skip
BACKENDS = {"core": "", "command": "torch"}
"""Of what is no framework."""


class StaleMutantError(Exception):
    """A mutant whose edit does not apply to the source."""


def mutated(mutant: Mutant) -> str:
    """The text of the mutant's file with its mistake in.

    Raises:
        StaleMutantError: a text to replace does not occur exactly once.
    """
    text = (ROOT / mutant.path).read_text()
    for old, new in mutant.edits.items():
        if text.count(old) != 1:
            raise StaleMutantError(
                f"{mutant.id}: {mutant.path} must have this exactly once, not {text.count(old)} "
                f"times; bring tests/mutations/edits.py up to date:\n{old}"
            )
        text = text.replace(old, new)
    return text


def run(framework: str, tests: Sequence[str], mutant: Mutant | None = None) -> dict[str, str]:
    """Run tests in a copy of the source.

    Returns:
        Test to "" where it passes, else to what it failed with.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree, report = Path(folder) / "tree", Path(folder) / "report.xml"
        for name in SOURCES:
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        if mutant is not None:
            (tree / mutant.path).write_text(mutated(mutant))
        backends = BACKENDS.get(framework, framework)
        ours = {"PYTHONPATH": str(tree), "DOCONV_BACKENDS": backends, "OMP_NUM_THREADS": "1"}
        # The source is mutated, not what was compiled of it: only tests of that need it.
        ours["DOCONV_NATIVE"] = str(int(any(file in test for test in tests for file in COMPILED)))
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
        )
        cases = ET.parse(report).iter("testcase") if report.exists() else ()
        outcomes = {str(case.get("name")): _outcome(case) for case in cases}
    if outcomes.keys() != {test.split("::")[1] for test in tests}:
        raise RuntimeError(f"not the tests asked for ran:\n{done.stdout}{done.stderr}")
    return {test: outcomes[test.split("::")[1]] for test in tests}


def _outcome(case: ET.Element) -> str:
    return "; ".join(f"{found.tag}: {found.get('message')}" for found in case)


def verdict(mutant: Mutant) -> str:
    """What becomes of a mutant: "caught", "survived", or how it crashed."""
    outcome = run(mutant.framework, [mutant.test], mutant)[mutant.test]
    if not outcome:
        return "survived"
    asserted = outcome.startswith(("failure: AssertionError", "failure: assert "))
    return "caught" if asserted else f"crashed: {outcome.splitlines()[0]}"


def main(frameworks: Sequence[str]) -> int:
    mutants = [m for m in MUTANTS if not frameworks or m.framework in frameworks]
    for mutant in mutants:
        mutated(mutant)  # before the first test runs
    for framework in dict.fromkeys(mutant.framework for mutant in mutants):
        tests = list(dict.fromkeys(m.test for m in mutants if m.framework == framework))
        if failing := {t: outcome for t, outcome in run(framework, tests).items() if outcome}:
            raise RuntimeError(f"without a mutant these fail: {failing}")
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, found in zip(mutants, pool.map(verdict, mutants), strict=True):
            survivors += found != "caught"
            by = mutant.test.split("::")[1]
            print(f"{mutant.framework:6} {mutant.mistake:51} {found:8} {by}", flush=True)  # noqa: T201
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants caught")  # noqa: T201
    return 1 if survivors or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
