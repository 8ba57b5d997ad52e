"""Settings that every test shares, the star's frameworks, and adapters that are missing here."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from doconv_core.native import products
from tests.star.backends import backend as backends
from tests.star.backends.backend import Backend

# The machine may be slow or busy, and a failure must come back when it is looked for.
settings.register_profile("doconv", deadline=None, derandomize=True)
settings.load_profile("doconv")


@pytest.fixture(params=backends.names(), scope="module")
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends.load(request.param)


@pytest.fixture
def usual_way() -> Iterator[None]:
    """Compose without the compiled kernel, as in graphs: their bits are those of that."""
    with products.unused():
        yield


def pytest_collection_finish() -> None:
    """Before the first test: what is slow about thousands of small networks in one process."""
    _put_aside()
    gc.set_threshold(50_000, 20, 20)
    if "jax" in sys.modules:
        _keep_compiler_context()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test of a module, when its fixtures are gone."""
    if nextitem is not None and nextitem.path != item.path:
        _put_aside()


def _put_aside() -> None:
    """Hide from the garbage collector what is there now, which no later test is about.

    Half a million objects are the frameworks' own, and they keep more with each traced graph. Every
    full collection would visit them, and so would each conversion in Keras and Gluon, which asks
    the collector for a model's holders. Graphs are traced of objects that live on, so collections
    in between find little: they come less often. A test of what is collected collects itself, and
    makes its models itself: one made on import would be overlooked by the conversion.
    """
    gc.collect()
    gc.freeze()


def _keep_compiler_context() -> None:
    """JAX makes a context for every function that it lowers, a fifth of these tests' time."""
    from jax._src.interpreters import mlir

    mlir.make_ir_context = functools.cache(mlir.make_ir_context)


class _NotHere(pytest.Module):
    """A module of tests of a framework that is not installed, or not asked for."""

    def collect(self) -> NoReturn:
        name = _framework(self.path)
        if name not in backends.names():
            pytest.skip(f"{name} is not among DOCONV_BACKENDS", allow_module_level=True)
        backends.load(name)
        raise AssertionError(f"{name} can be imported now, and could not before")


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """The tests of an adapter import its framework, so it must be known before they are read."""
    name = _framework(module_path)
    if not name:
        return None
    if name in backends.names():
        try:
            __import__(f"tests.star.backends.backend_{name}")
            return None
        except ImportError:
            pass
    return _NotHere.from_parent(parent, path=module_path)


def _framework(module_path: Path) -> str:
    """By its folder, as in torch_adapter; below integrations/ by its name: test_torch_ddp.py."""
    folder = module_path.parent.name
    if "integrations" in module_path.parts:
        named = [n for n in backends.NAMES if module_path.name.startswith(f"test_{n}_")]
        return named[0] if named else ""
    return folder.removesuffix("_adapter") if folder.endswith("_adapter") else ""
