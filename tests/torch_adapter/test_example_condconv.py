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


PUBLISHED = {0: (5.3, 391), 4: (13.3, 402), 8: (24.0, 413)}
"""Millions of parameters and multiply-accumulates by experts, as the authors' README has them."""


@pytest.mark.parametrize(
    ("experts", "parameters", "macs"),
    [(0, 5_288_548, 385_814_752), (4, 13_314_084, 396_509_152), (8, 24_013_220, 407_203_552)],
)
def test_the_network_is_the_published_one(
    example: dict[str, Any], experts: int, parameters: int, macs: int
) -> None:
    """0 experts: 5,288,548 parameters, what every implementation of EfficientNet-B0 has."""
    import torch

    from doconv_torch import summary

    network = example["EfficientNet"](experts)
    counted = sum(row.macs[1] for row in summary(network, torch.zeros(1, 3, 224, 224)) if row.macs)
    assert (sum(p.numel() for p in network.parameters()), counted) == (parameters, macs)
    assert round(parameters / 1e6, 1) == PUBLISHED[experts][0]
    # Theirs are rounded to millions, and count what is no convolution too; what CondConv adds is
    # the same.
    beyond = (counted - 385_814_752) / 1e6
    assert beyond == pytest.approx(PUBLISHED[experts][1] - PUBLISHED[0][1], abs=1)
    assert 4.6 <= PUBLISHED[experts][1] - counted / 1e6 <= 6.2


def test_the_squeeze_and_excite_blocks_take_about_what_is_not_counted(
    example: dict[str, Any],
) -> None:
    import torch

    network = example["EfficientNet"](0).eval()
    elements: list[int] = []
    for module in network.modules():
        if isinstance(module, example["SqueezeExcite"]):
            module.register_forward_hook(lambda _, inputs, __: elements.append(inputs[0].numel()))
    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    assert 2 * sum(elements) / 1e6 == pytest.approx(4.6, abs=0.05)
