"""examples/torch/efficientnet_condconv.py runs, and what it says is so."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.star.backends import backend as backends

SCRIPT = Path(__file__).parents[2] / "examples" / "torch" / "efficientnet_condconv.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    backends.load("torch")
    pytest.importorskip("sklearn", reason="its data are scikit-learn's")
    return runpy.run_path(str(SCRIPT))


def test_folding_the_trained_network_changes_nothing(
    example: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert example["main"](experts=2, steps=2, width=0.25, image=32) < 1e-4
    lines = capsys.readouterr().out.splitlines()
    table = {line[:24].strip(): tuple(map(float, line[24:].split())) for line in lines[1:5]}
    plain, conditional, training, folded = table.values()
    assert plain < conditional < training
    assert folded == conditional
    assert lines[5].startswith("step   0: loss ")
    assert "num_experts=2" in lines[-1]


def test_the_plain_network_is_efficientnet_b0(example: dict[str, Any]) -> None:
    """5,288,548 parameters: what every implementation of it has."""
    network = example["EfficientNet"](0)
    assert sum(p.numel() for p in network.parameters()) == 5_288_548
