"""Warnings of Keras and its backends that no test of ours can help."""

from __future__ import annotations

from pathlib import Path

import pytest

UPSTREAM_WARNINGS = (
    # Keras 3.15's Variable and torch 2.13's Tensor lack an argument that NumPy 2 asks for.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in UPSTREAM_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
