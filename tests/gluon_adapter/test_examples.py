"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.gluon_adapter.helpers import ROOT

FILES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "doconv_gluon").rglob("*.py")
    if ">>>" in path.read_text()
)
MODULES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
