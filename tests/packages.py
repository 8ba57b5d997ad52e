"""The packages in dist/, tried out: `make package` and `make test-install`.

    python tests/packages.py whole                    the source distribution has every file
    python tests/packages.py install [EXTRA ...]      each extra in an empty environment
    python tests/packages.py native                   the wheel in build/native/ uses the kernel
    python tests/packages.py uses-the-kernel          so does this Python

An extra is installed from the wheel, and the code of its page or its command runs there, away from
the repository. Needs the standard library alone. Environments, one at a time: build/install/.

`ARGUMENTS` are pip's, as in ARGUMENTS='torch==2.13.0'; by default, on Python 3.11, the versions
that are tested.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "install"
PAGES = ROOT / "tests" / "docs" / "pages.py"

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PINS = shlex.quote(str(ROOT / "constraints" / "numpy1.txt"))
TESTED = f"--constraint {PINS}" if HERE == "3.11" else ""

EXTRAS: dict[str, list[list[str]]] = {
    "": [["python", "-c", "import doconv_core; print(doconv_core.__version__)"]],
    "torch": [["python", str(PAGES), str(ROOT / "README.md")]],
    "tf": [["python", str(PAGES), str(ROOT / "docs" / "start" / "keras.md")]],
    "tf-keras": [["python", str(PAGES), str(ROOT / "docs" / "start" / "tf_keras.md")]],
    "gluon": [["python", str(PAGES), str(ROOT / "docs" / "start" / "gluon.md")]],
    "cli": [["doconv", "--version"], ["doconv", "cost", "--in", "64", "--out", "64"]],
    "demo": [["doconv", "demo", "--help"], ["python", "-c", "import sklearn, matplotlib"]],
}
"""What runs where an extra is installed; "" is the package alone."""

NOT_FOR = {"gluon": ("3.12", "3.13")}
"""Pythons that an extra must refuse."""

REFUSED = "needs.python.3.11.or.older"
"""What the installer then says: pyproject.toml."""


def whole() -> None:
    """Every file of the repository is in the source distribution, and nothing else of note."""
    (archive,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    missing = sorted(set(listed.stdout.split()) - inside)
    if missing:
        raise SystemExit(f"{archive.name} lacks {', '.join(missing)}: see MANIFEST.in")
    print(f"{archive.name}: {len(inside)} files, every file of the repository")  # noqa: T201


def install(extra: str) -> str:
    """Install one extra into an empty environment and run its commands; what to report."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    environment = FOLDER / (extra or "alone")
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    bin_folder, away = environment / "bin", environment / "away"
    away.mkdir()
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    arguments = shlex.split(os.environ.get("ARGUMENTS") or TESTED)
    start = time.monotonic()
    done = subprocess.run(
        [bin_folder / "python", "-m", "pip", "install", "--quiet", what, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    installed = time.monotonic() - start
    if HERE in NOT_FOR.get(extra, ()):
        if done.returncode == 0 or REFUSED not in done.stderr:
            raise SystemExit(f"[{extra}] on Python {HERE} must be refused: {done.stderr}")
        return f"refused on Python {HERE}, as it must be"
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    variables = {name: v for name, v in os.environ.items() if name not in ("PYTHONPATH", "PATH")}
    variables |= {"PATH": f"{bin_folder}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    for command in EXTRAS[extra]:
        ran = subprocess.run(
            [bin_folder / command[0], *command[1:]],
            cwd=away, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode:
            raise SystemExit(
                f"[{extra}] {shlex.join(command)}:\n{(ran.stdout + ran.stderr)[-4000:]}"
            )
    seconds = time.monotonic() - start - installed
    shutil.rmtree(environment)
    return f"installed in {installed:.0f} s, ran in {seconds:.0f} s"


USES_THE_KERNEL = """
import numpy as np
from doconv_core import DOConvSpec, compose_kernel
from doconv_core.native import library, products

spec = DOConvSpec(5, 12, (3, 3))
random = np.random.default_rng(0)
W, D = (random.integers(-3, 4, s).astype(np.float32) for s in (spec.W_shape, spec.D_shape))
assert products.is_available(), library.status()
kernel = compose_kernel(spec, W, D)
with products.unused():
    assert (kernel == compose_kernel(spec, W, D)).all()
print(library.PATH, library.status())
"""


def native() -> None:
    """A wheel for this platform, on any Python 3, in an empty environment."""
    (wheel,) = (ROOT / "build" / "native").glob("*.whl")
    if "-py3-none-" not in wheel.name or wheel.name.endswith("-any.whl"):
        raise SystemExit(f"{wheel.name} is not for every Python 3 of one platform")
    environment = FOLDER / "native"
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    subprocess.run([python, "-c", USES_THE_KERNEL], cwd=environment, check=True)
    shutil.rmtree(environment)


def main(arguments: list[str]) -> None:
    """Do what the first argument says."""
    verb, *names = arguments or ["none"]
    if verb == "whole":
        whole()
    elif verb == "native":
        native()
    elif verb == "uses-the-kernel":
        subprocess.run([sys.executable, "-c", USES_THE_KERNEL], cwd="/", check=True)
    elif verb == "install":
        for extra in names or EXTRAS:
            print(f"[{extra}]: {install(extra)}", flush=True)  # noqa: T201
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
