"""Keras is optional: without it each module here is skipped, or an error if it was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from tests import backends

UPSTREAM_WARNINGS = (
    # Keras 3.15's Variable and torch 2.13's Tensor lack an argument that NumPy 2 asks for.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)


class _Missing(pytest.Module):
    def collect(self) -> NoReturn:
        backends.load("keras")
        raise AssertionError("found now, and not before")


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    try:
        import keras  # noqa: F401
    except ImportError:
        return _Missing.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in UPSTREAM_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
