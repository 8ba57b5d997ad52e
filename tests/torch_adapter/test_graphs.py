"""Tracers and compilers: the graph they capture computes what the layer does."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from doconv_torch import DOConv1d, DOConv2d, DOConv3d, DOConvTranspose2d, convert, fold
from tests.torch_adapter.helpers import images, train, trained_network

pytestmark = [
    # torch 2.13 deprecates its older tracers; they still have users.
    pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated"),
    # torch 2.13's Dynamo instantiates each autograd.Function that it traces, and torch warns of it.
    pytest.mark.filterwarnings("ignore:.*autograd.function.Function.* should not be instantiated"),
]

LAYERS = {
    "conv": lambda: DOConv2d(4, 6, 3, padding=1),
    "grouped": lambda: DOConv2d(4, 6, 3, groups=2),
    "free-columns": lambda: DOConv2d(4, 6, 3, D_mul=20, bias=False),
    "reflect": lambda: DOConv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "pointwise": lambda: DOConv2d(4, 6, 1),
    "one-input-channel": lambda: DOConv2d(1, 6, 3),
    "depthwise": lambda: DOConv2d(4, 4, 3, groups=4),
    "many-kernel-elements": lambda: DOConv2d(4, 6, 6),
    "feature": lambda: DOConv2d(4, 6, 3, composition="feature", D_mul=20),
    "transposed": lambda: DOConvTranspose2d(4, 6, 3, stride=2, groups=2),
    "transposed-feature": lambda: DOConvTranspose2d(4, 6, 3, composition="feature"),
}
every_layer = pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS.keys())


def trained(build: Any) -> tuple[Any, Tensor]:
    layer = train(build())
    return layer, torch.randn(2, layer.in_channels, *(7,) * (layer.weight.ndim - 2))


def gradients(function: Any, layer: nn.Module, x: Tensor) -> list[Tensor]:
    layer.zero_grad()
    x = x.clone().requires_grad_()
    function(x).square().sum().backward()
    return [x.grad, *(p.grad for p in layer.parameters())]  # type: ignore[list-item]


the_usual_way = pytest.mark.usefixtures("usual_way")
"""A graph holds operators, so its bits are those of a layer without the compiled kernel."""


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch.compiler.reset()


def test_importing_brings_no_compiler() -> None:
    """It takes as long again as torch itself, and who folds a file or predicts does not need it."""
    program = "import doconv_torch, sys; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.integration("torch.compile", "train")
@every_layer
def test_compile_in_one_graph(build: Any) -> None:
    layer, x = trained(build)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(gradients(compiled, layer, x), gradients(layer, layer, x))


@the_usual_way
def test_compile_in_one_graph_under_autocast() -> None:
    layer, x = trained(LAYERS["conv"])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compiled(x), layer(x))


@pytest.mark.integration("torch.func", "train")
@pytest.mark.parametrize("name", ["conv", "grouped", "depthwise"])
def test_compiled_transforms_differentiate_D_too(name: str) -> None:
    layer, x = trained(LAYERS[name])
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    directions = {name: torch.randn_like(p) for name, p in parameters.items()}

    def output(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(layer, parameters, (x,))

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(layer, parameters, (sample[None],)).square().sum()

    def forward_mode() -> Tensor:
        return jvp(output, (parameters,), (directions,))[1]

    def per_sample() -> dict[str, Tensor]:
        return vmap(grad(loss), (None, 0))(parameters, x)

    for function in (forward_mode, per_sample):
        compiled = torch.compile(function, backend="aot_eager")
        torch.testing.assert_close(compiled(), function())


@pytest.mark.integration("torch.compile", "train")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_compile_by_inductor(layout: torch.memory_format) -> None:
    layer, x = trained(LAYERS["conv"])
    # float64: a compiler adds in another order, and in float32 rounding alone would show
    layer, x = layer.to(torch.float64, memory_format=layout), x.double()
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(gradients(compiled, layer, x), gradients(layer, layer, x))


@pytest.mark.integration("torch.compile", "convert", "fold")
@pytest.mark.parametrize("how", ["wrapped", "own"])
def test_converting_a_compiled_model_in_place_trains_its_D(how: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    compiled: Any = torch.compile(model, backend="eager")
    if how == "own":
        model.compile(backend="eager")
        compiled = model
    before = compiled(images())
    convert(compiled, inplace=True)
    assert torch.equal(compiled(images()), before)
    compiled(images()).sum().backward()
    assert model[0].D.grad.any()
    train(model)
    unfolded = compiled(images())
    assert not torch.equal(unfolded, before)
    fold(compiled, inplace=True)
    torch.testing.assert_close(compiled(images()), unfolded)
    assert type(model[0]) is nn.Conv2d


@pytest.mark.integration("torch.export", "export")
@the_usual_way
@every_layer
def test_export(build: Any) -> None:
    layer, x = trained(build)
    program = torch.export.export(layer, (x,))
    assert torch.equal(program.module()(x), layer(x))


@pytest.mark.integration("torch.jit, torch.fx", "export")
@the_usual_way
@every_layer
def test_symbolic_trace(build: Any) -> None:
    layer, x = trained(build)  # within a model, where output_size is what it is by default
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))


SCRIPTED = ("conv", "grouped", "depthwise", "free-columns", "reflect", "pointwise")


@pytest.mark.integration(
    "torch.jit, torch.fx", export="script: fold transposed layers and feature composition first"
)
@the_usual_way
@pytest.mark.parametrize("name", SCRIPTED)
def test_script(name: str) -> None:
    """Convolutions with kernel composition only: TorchScript is at its end; fold the rest."""
    layer, x = trained(LAYERS[name])
    scripted = torch.jit.script(layer)
    assert torch.equal(scripted(x), layer(x))
    torch.testing.assert_close(gradients(scripted, scripted, x), gradients(layer, layer, x))


@the_usual_way
@pytest.mark.parametrize(("cls", "ndim"), [(DOConv1d, 1), (DOConv3d, 3)])
def test_script_in_other_dimensions(cls: Any, ndim: int) -> None:
    layer, x = train(cls(4, 6, 3)), torch.randn(1, 4, *(5,) * ndim)
    assert torch.equal(torch.jit.script(layer)(x), layer(x))


@pytest.mark.integration("torch.jit, torch.fx", "export")
@the_usual_way
@every_layer
def test_trace(build: Any) -> None:
    layer, x = trained(build)
    assert torch.equal(torch.jit.trace(layer, x)(x), layer(x))


@pytest.mark.integration("torch.jit, torch.fx", "fold")
def test_a_folded_model_scripts_where_the_unfolded_does_not() -> None:
    model, x = trained_network().eval(), images()
    torch.testing.assert_close(torch.jit.script(fold(model))(x), model(x))
