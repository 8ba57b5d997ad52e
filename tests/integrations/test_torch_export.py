"""Exported after fold, the graph is the plain network's, and its own runtime computes the same."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from doconv_core import messages
from doconv_torch import convert, fold
from tests.torch_adapter.helpers import train

ANY_BATCH = ({0: torch.export.Dim("batch", min=1, max=64)},)


def network() -> nn.Sequential:
    """64 channels: ONNX's exporter computes constant expressions only up to 8192 elements."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, groups=64), nn.ConvTranspose2d(64, 8, 2),
    ).eval()  # fmt: skip


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))


@pytest.fixture(scope="module")
def unfolded() -> nn.Module:
    return train(convert(network()))


def operators(program: torch.export.ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.integration("torch.export", "fold", "export")
def test_the_program_of_a_fold_is_the_plain_network_s(unfolded: nn.Module) -> None:
    plain, folded = (
        torch.export.export(model, (images(2),), dynamic_shapes=ANY_BATCH)
        for model in (network(), fold(unfolded))
    )
    assert operators(folded) == operators(plain)
    torch.testing.assert_close(folded.module()(images(5)), unfolded(images(5)))


@pytest.mark.integration("torch.export", export="unfolded: right, and told once")
def test_an_unfolded_program_is_right_and_told_once(unfolded: nn.Module) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        program = torch.export.export(unfolded, (images(2),), dynamic_shapes=ANY_BATCH)
    assert [str(each.message) for each in said] == [messages.model.EXPORTED_UNFOLDED]
    torch.testing.assert_close(program.module()(images(5)), unfolded(images(5)))


# torch 2.13's exporter trips over deprecations of its own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.integration("ONNX", "fold", export="fold first")
def test_onnx_of_a_fold_is_the_plain_network_s_for_any_batch(
    unfolded: nn.Module, tmp_path: Path
) -> None:
    def exported(model: nn.Module, name: str) -> Path:
        path = tmp_path / f"{name}.onnx"
        more: dict[str, Any] = {"dynamic_shapes": ANY_BATCH, "dynamo": True, "verbose": False}
        torch.onnx.export(model, (images(2),), path, **more)
        return path

    def run(path: Path, x: Tensor) -> Tensor:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])

    def nodes(path: Path) -> list[str]:
        return [node.op_type for node in onnx.load(path).graph.node]

    folded = exported(fold(unfolded), "folded")
    assert nodes(folded) == nodes(exported(network(), "plain"))
    with pytest.warns(UserWarning, match="not folded"):
        slow = exported(unfolded, "unfolded")
    for path in (folded, slow):
        torch.testing.assert_close(run(path, images(5)), unfolded(images(5)), rtol=1e-4, atol=1e-5)
