"""Tracers, compilers and exporters of CondConv: the graph computes what the layer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from doconv_torch import CondConv2d
from tests.torch_adapter.helpers import train

pytestmark = [
    # torch 2.13 deprecates its older tracers; they still have users.
    pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated"),
    # The exporter of torch 2.13 trips over deprecations of its own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

LAYERS = {
    "plain": lambda **ours: CondConv2d(4, 6, 3, padding=1, **ours),
    "grouped": lambda **ours: CondConv2d(4, 6, 3, groups=2, D_mul="K", **ours),
    "depthwise": lambda **ours: CondConv2d(4, 8, 3, groups=4, D_mul=11, bias=False, **ours),
    "reflect": lambda **ours: CondConv2d(4, 6, 3, padding="same", padding_mode="reflect", **ours),
}
every_layer = pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS.keys())
every_evaluation = pytest.mark.parametrize("evaluation", ["kernels", "outputs"])


def images(batch: int) -> Tensor:
    return torch.randn(batch, 4, 7, 7, generator=torch.Generator().manual_seed(batch))


def any_batch() -> Any:
    return ({0: torch.export.Dim("batch")},)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch.compiler.reset()


@every_evaluation
def test_compile_in_one_graph_for_several_batch_sizes(evaluation: str) -> None:
    layer = train(LAYERS["grouped"](evaluation=evaluation))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for batch in (3, 2, 5, 1):
        layer.zero_grad()
        x = images(batch).requires_grad_()
        layer(x).square().sum().backward()
        expected = [p.grad.clone() for p in (x, *layer.parameters())]
        layer.zero_grad()
        x.grad = None
        y = compiled(x)
        y.square().sum().backward()
        torch.testing.assert_close(y, layer(x))
        torch.testing.assert_close([p.grad for p in (x, *layer.parameters())], expected)


@every_evaluation
@every_layer
def test_export_for_any_batch_size(build: Any, evaluation: str) -> None:
    layer = train(build(evaluation=evaluation)).eval()
    program = torch.export.export(layer, (images(3),), dynamic_shapes=any_batch())
    for batch in (1, 2, 9):
        torch.testing.assert_close(program.module()(images(batch)), layer(images(batch)))


@every_layer
def test_trace_for_any_batch_size(build: Any) -> None:
    layer = train(build()).eval()
    traced = torch.jit.trace(layer, images(3))
    torch.testing.assert_close(traced(images(8)), layer(images(8)))


def run(path: Path, x: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return y


def export(model: nn.Module, batch: int, path: Path, **options: Any) -> Path:
    torch.onnx.export(model, (images(batch),), path, dynamo=True, verbose=False, **options)
    return path


@pytest.mark.parametrize("name", ["plain", "depthwise"])
def test_onnx_for_one_image_convolves_once(name: str, tmp_path: Path) -> None:
    """The deployed form: one convolution, whose kernel is computed from the image."""
    layer = train(LAYERS[name]()).eval().fold()
    path = export(layer, 1, tmp_path / "layer.onnx")
    (conv,) = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    (groups,) = [a.i for a in conv.attribute if a.name == "group"]
    assert groups == layer.groups
    expected = layer(images(1)).detach().numpy()
    np.testing.assert_allclose(run(path, images(1)), expected, rtol=1e-4, atol=1e-5)


def test_onnx_of_a_fixed_batch_has_its_groups_and_of_any_batch_the_experts(tmp_path: Path) -> None:
    layer = train(LAYERS["grouped"]()).eval().fold()
    fixed = export(layer, 3, tmp_path / "fixed.onnx")
    dynamic = export(layer, 3, tmp_path / "any.onnx", dynamic_shapes=any_batch())
    for path, batches in ((fixed, (3,)), (dynamic, (1, 3, 8))):
        for batch in batches:
            expected = layer(images(batch)).detach().numpy()
            np.testing.assert_allclose(run(path, images(batch)), expected, rtol=1e-4, atol=1e-5)
