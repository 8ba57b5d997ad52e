"""One table of frameworks: what cannot import it agrees with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doconv_core.frameworks import FRAMEWORKS
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
