"""The stubs are what `make stubs` writes; `make lint` checks programs of users against them."""

from __future__ import annotations

import ast

import pytest

from tests.star.backends import backend as backends
from tests.typed import stubs


def statements(text: str) -> set[str]:
    """What a stub says, however it is laid out."""
    return set(map(ast.unparse, ast.parse(text).body))


@pytest.mark.parametrize("name", stubs.ADAPTERS)
def test_the_stub_is_up_to_date(name: str) -> None:
    if name not in backends.names():
        pytest.skip(f"{name} is not among DOCONV_BACKENDS")
    backends.load(name)
    adapter = stubs.ADAPTERS[name]
    written = (stubs.ROOT / adapter.package / "__init__.pyi").read_text()
    assert statements(written) == statements(stubs.stub(adapter)), "run: make stubs"


@pytest.mark.parametrize("name", stubs.ADAPTERS)
def test_the_stub_has_every_public_name(name: str) -> None:
    folder = stubs.ROOT / stubs.ADAPTERS[name].package
    (said,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((folder / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    text = (folder / "__init__.pyi").read_text()
    defined = {
        name
        for node in ast.parse(text).body
        for name in (
            [alias.asname for alias in node.names if alias.asname]
            if isinstance(node, ast.ImportFrom)
            else [getattr(node, "name", None)]
        )
    }
    assert set(said) <= defined
