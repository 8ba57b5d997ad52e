"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["doconv_gluon"] + [
    f"doconv_gluon.{name}"
    for name in ("layers.do_conv", "model.conversion", "model.summary", "model.state", "model_zoo")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
