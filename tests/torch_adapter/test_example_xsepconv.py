"""examples/torch/mobilenetv3_small_xsepconv.py runs, and what it says is so."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.star.backends import backend as backends

SCRIPT = Path(__file__).parents[2] / "examples" / "torch" / "mobilenetv3_small_xsepconv.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    backends.load("torch")
    pytest.importorskip("sklearn", reason="its data are scikit-learn's")
    return runpy.run_path(str(SCRIPT))


def test_the_plain_network_is_mobilenetv3_small(example: dict[str, Any]) -> None:
    """2,542,856 parameters: what every implementation of it has."""
    network = example["mobilenetv3_small"]()
    assert sum(p.numel() for p in network.parameters()) == 2_542_856


@pytest.mark.parametrize(
    ("strides", "millions"),
    [((), 54.90), (((1, 1), (2, 2)), 52.87), (((1, 1),), 52.67)],
    ids=["plain", "all", "stride 1 alone"],
)
def test_leaving_stride_2_alone_costs_least(
    example: dict[str, Any], strides: tuple[tuple[int, int], ...], millions: float
) -> None:
    import torch

    from doconv_torch import convert_depthwise, summary

    network = example["mobilenetv3_small"]()
    if strides:
        network = convert_depthwise(network, where=lambda name, layer: layer.stride in strides)
    macs = sum(row.macs[1] for row in summary(network, torch.zeros(1, 3, 224, 224)) if row.macs)
    assert round(macs / 1e6, 2) == millions


def test_folding_the_trained_network_changes_nothing(
    example: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert example["main"](steps=2, width=0.25, image=64) < 1e-4
    lines = capsys.readouterr().out.splitlines()
    table = {line[:24].strip(): tuple(map(float, line[24:].split())) for line in lines[1:5]}
    plain, separated, training, folded = table.values()
    assert separated < plain
    assert separated < training
    assert folded == separated
    assert lines[5].startswith("step   0: loss ")
    assert "XSepConv2d" in "".join(lines[6:])
