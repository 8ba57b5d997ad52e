"""D is made where W is: within the scope of TensorFlow's distribution strategies, or outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.keras_adapter.helpers import BACKEND

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="the strategies are TensorFlow's")


@pytest.fixture(scope="module")
def ways() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.keras_adapter.mirrored"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


@pytest.mark.integration("MirroredStrategy", "convert", "train", "fold")
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("change", ["inside", "outside"])
def test_a_model_of_a_scope_is_converted_within_it_or_outside(
    ways: dict[str, Any], change: str, inplace: bool
) -> None:
    found = ways[f"inside {change} {inplace}"]
    assert found["kinds"] == ["MirroredVariable"]
    assert found["difference"] < 1e-6
    assert found["folded"] < 1e-6


def test_a_model_from_outside_stays_outside_or_is_copied_into_a_scope(ways: dict[str, Any]) -> None:
    for inplace in (False, True):
        found = ways[f"outside outside {inplace}"]
        assert (found["kinds"], found["difference"]) == (["ResourceVariable"], 0)
    assert ways["outside inside False"]["kinds"] == ["MirroredVariable"]


def test_one_from_outside_is_not_changed_in_place_within_a_scope(ways: dict[str, Any]) -> None:
    found = ways["outside inside True"]
    assert "Call convert(inplace=True) outside of the scope" in found["error"]
    assert found["left"]


def test_what_is_replaced_is_made_where_it_was(ways: dict[str, Any]) -> None:
    assert ways["replaced"] == ["MirroredVariable"]
