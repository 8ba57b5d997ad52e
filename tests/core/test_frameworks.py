"""One table of frameworks: what cannot import it agrees with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from doconv_core import frameworks
from doconv_core.frameworks import FRAMEWORKS, importing
from tests.architecture.house import ADAPTERS

ROOT = Path(__file__).parents[2]
PYPROJECT, MAKEFILE = (ROOT / "pyproject.toml").read_text(), (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_it_has_an_adapter_an_extra_and_an_environment(name: str) -> None:
    framework = FRAMEWORKS[name]
    assert framework.name == name
    assert (ROOT / framework.adapter / "py.typed").exists()
    assert re.search(rf"^{re.escape(framework.extra)} = \[", PYPROJECT, re.M)
    assert f"PACKAGES_{name} = " in MAKEFILE


def test_nothing_else_has() -> None:
    assert {each.adapter for each in FRAMEWORKS.values()} == set(ADAPTERS)
    assert set(re.findall(r"^PACKAGES_(\w+) = ", MAKEFILE, re.M)) == set(FRAMEWORKS)


# --- what is said where one is missing -------------------------------------------------------


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_missing_framework_is_one_line_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frameworks.sys, "version_info", (3, 11, 0))
    framework = FRAMEWORKS[name]
    with pytest.raises(ImportError) as caught, importing(name):
        raise ModuleNotFoundError(f"No module named {framework.module!r}", name=framework.module)
    assert str(caught.value) == (
        f"{framework.adapter} needs the Python package {framework.module!r}, which is not "
        f"installed. Install it: pip install 'doconv-layers[{framework.extra}]'"
    )
    assert caught.value.name == framework.module
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("name", "said"), [("gluon", "Use Python 3.11 or older."), ("torch", "pip")]
)
def test_a_python_that_is_too_new_is_named(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frameworks.sys, "version_info", (3, 13, 1))
    assert said in FRAMEWORKS[name].missing("mxnet")
    assert ("no release for Python 3.13" in FRAMEWORKS[name].missing("mxnet")) == (name == "gluon")


def test_what_a_framework_itself_needs_is_named() -> None:
    with (
        pytest.raises(ImportError, match=r"'tensorflow', .* 'doconv-layers\[tf\]'"),
        importing("keras"),
    ):
        raise ModuleNotFoundError("No module named 'tensorflow.python'", name="tensorflow.python")


def test_another_failure_speaks_for_itself() -> None:
    broken = ImportError("libsomething.so.1: cannot open shared object file")
    with pytest.raises(ImportError) as caught, importing("torch"):
        raise broken
    assert caught.value is broken


BLOCKED = """
import sys
sys.modules[{module!r}] = None  # as if it were not installed
import {adapter}
"""


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_adapter_says_it_in_a_fresh_process(name: str) -> None:
    if name == "gluon" and np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        pytest.skip("NumPy 2 is refused before MXNet is looked for")
    framework = FRAMEWORKS[name]
    program = BLOCKED.format(module=framework.module, adapter=framework.adapter)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {framework.adapter} needs the Python package")
    assert "The above exception was the direct cause" in done.stderr
