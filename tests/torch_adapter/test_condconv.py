"""CondConv layers of PyTorch: their host's arguments, evaluations, errors, files and precision."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_core import CondConvSpec
from doconv_torch import CondConv1d, CondConv2d, CondConv3d, Routing
from doconv_torch.layers import condconv as condconv_base
from tests.torch_adapter.helpers import train

CLASSES = [(CondConv1d, nn.Conv1d), (CondConv2d, nn.Conv2d), (CondConv3d, nn.Conv3d)]
every_class = pytest.mark.parametrize(("ours", "host"), CLASSES, ids=lambda cls: cls.__name__)
every_evaluation = pytest.mark.parametrize("evaluation", ["auto", "kernels", "outputs"])


def images(layer: Any, batch: int = 3, size: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, layer.in_channels, *(size,) * len(layer.kernel_size))
    return torch.randn(shape, generator=generator, dtype=layer.weight.dtype)


@every_class
def test_signature_is_the_host_s_and_then_ours(ours: Any, host: Any) -> None:
    names = list(inspect.signature(ours).parameters)
    added = ["num_experts", "routing", "routing_bias", "evaluation", "D_mul"]
    assert names == [*inspect.signature(host).parameters, *added]


@every_evaluation
@pytest.mark.parametrize("D_mul", [None, "K", 30], ids=["plain", "D_mul=K", "D_mul>K"])
@every_class
def test_a_memory_format_is_that_of_the_kernels(
    ours: Any, host: Any, D_mul: Any, evaluation: str
) -> None:
    layer = train(ours(4, 6, 3, D_mul=D_mul, evaluation=evaluation, dtype=torch.float64))
    x = images(layer)
    expected = layer(x)
    last = torch.channels_last_3d if host is nn.Conv3d else torch.channels_last
    nn.Sequential(layer, host(6, 1, 3)).to(memory_format=last)
    for expert in layer.weight:
        assert host is nn.Conv1d or expert.is_contiguous(memory_format=last)
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    layer.float()
    assert {p.dtype for p in layer.parameters()} == {torch.float32}


@every_class
def test_experts_are_drawn_one_by_one_as_the_host_draws_its_own(ours: Any, host: Any) -> None:
    """The same numbers as of four host layers built one after the other."""
    torch.manual_seed(0)
    layer = ours(4, 6, 3, num_experts=4, D_mul=200)
    torch.manual_seed(0)
    for e, conv in enumerate(host(4, 6, 3) for _ in range(4)):
        assert torch.equal(layer.weight[e], conv.weight)
        assert torch.equal(layer.bias[e], conv.bias)
    assert not layer.D.any()
    first = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, first)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "same": {"padding": "same", "dilation": 2},
    "same-even": {"padding": "same", "kernel_size": 4},
    "valid": {"padding": "valid", "stride": 2},
    "reflect-same": {"padding": "same", "padding_mode": "reflect"},
    "circular": {"padding": (1, 2), "padding_mode": "circular", "stride": (2, 1)},
    "replicate-grouped": {"padding": 1, "padding_mode": "replicate", "groups": 2},
    "depthwise": {"padding": 1, "groups": 4, "out_channels": 8},
    "no-bias": {"bias": False},
    "double": {"dtype": torch.float64},
}


# torch says so once of its own convolutions too.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@every_evaluation
@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_every_example_is_the_host_s_convolution_by_its_mixture(
    arguments: dict[str, Any], evaluation: str
) -> None:
    given = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments}
    layer = train(CondConv2d(**given, num_experts=3, evaluation=evaluation, D_mul=20))
    conv, x = nn.Conv2d(**given), images(layer)
    y, kernels = layer(x), layer.composed_kernel()
    assert y.dtype is x.dtype
    for image, own, alpha in zip(x, y, layer.routing(x), strict=True):
        conv.weight.data = torch.einsum("e,e...->...", alpha, kernels).detach()
        if conv.bias is not None:
            conv.bias.data = (alpha @ layer.bias).detach()
        torch.testing.assert_close(own, conv(image))
        torch.testing.assert_close(layer(image), conv(image))  # an input without a batch


@every_evaluation
def test_a_batch_of_no_images(evaluation: str) -> None:
    layer = train(CondConv2d(4, 6, 3, groups=2, D_mul="K", evaluation=evaluation))
    x = torch.zeros(0, 4, 7, 7, requires_grad=True)
    y = layer(x)
    assert y.shape == (0, 6, 5, 5)
    y.sum().backward()
    assert not layer.D.grad.any()


def test_auto_mixes_kernels_but_for_a_few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for name in ("by_kernels", "by_outputs"):
        real = getattr(condconv_base, name)
        monkeypatch.setattr(
            condconv_base,
            name,
            lambda *args, name=name, real=real: seen.append(name) or real(*args),
        )
    layer = CondConv2d(8, 8, 3, padding="same")
    layer(images(layer, size=14))
    layer(images(layer, size=1))
    CondConv2d(8, 8, 3, evaluation="outputs")(images(layer, size=14))
    strided = CondConv2d(8, 8, 3, stride=9, padding=1)
    strided(images(strided, size=9))
    assert seen == ["by_kernels", "by_outputs", "by_outputs", "by_outputs"]


def test_one_routing_for_the_layers_of_a_block() -> None:
    routing = Routing(4, 3)
    layers = [CondConv2d(4, 4, 3, padding=1, num_experts=3, routing=False) for _ in range(2)]
    x = images(layers[0])
    alpha = routing(x)
    layers[1](layers[0](x, alpha), alpha).sum().backward()
    assert routing.weight.grad.any()
    assert list(layers[0].state_dict()) == ["weight", "bias"]
    alone = CondConv2d(4, 4, 3, padding=1, num_experts=3)
    alone.load_state_dict({**layers[0].state_dict(), "routing.weight": routing.weight})
    assert torch.equal(alone(x), layers[0](x, alpha))
    assert torch.equal(layers[0](x[0], alpha[0]), alone(x[0]))


ERRORS: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "no-alpha": (
        ValueError,
        "`alpha` must be given to a layer with routing=False",
        lambda: CondConv2d(4, 6, 3, routing=False)(torch.zeros(2, 4, 5, 5)),
    ),
    "two-routings": (
        ValueError,
        "`alpha` must not be given to a layer that has its own routing",
        lambda: CondConv2d(4, 6, 3)(torch.zeros(2, 4, 5, 5), torch.zeros(2, 4)),
    ),
    "alpha-of-one-example": (
        ValueError,
        "`alpha` must have shape (2, 4). Received: alpha.shape=(1, 4)",
        lambda: CondConv2d(4, 6, 3, routing=False)(torch.zeros(2, 4, 5, 5), torch.zeros(1, 4)),
    ),
    "experts": (
        ValueError,
        "`num_experts` must be a positive integer",
        lambda: CondConv2d(4, 6, 3, num_experts=0),
    ),
    "evaluation": (
        ValueError,
        "`evaluation` must be one of",
        lambda: CondConv2d(4, 6, 3, evaluation="feature"),
    ),
    "D_mul": (
        ValueError,
        "`D_mul` must be at least the number of kernel elements",
        lambda: CondConv2d(4, 6, 3, D_mul=8),
    ),
    "groups": (ValueError, "`groups` must divide", lambda: CondConv2d(4, 6, 3, groups=3)),
    "dtype": (
        TypeError,
        "`dtype` must be a real floating-point type",
        lambda: CondConv2d(4, 6, 3, dtype=torch.complex64),
    ),
    "padding": (
        ValueError,
        "padding='same' is not supported for strided convolutions",  # the host's own words
        lambda: CondConv2d(4, 6, 3, padding="same", stride=2),
    ),
}


@pytest.mark.parametrize(("kind", "message", "call"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_not_allowed(
    kind: type[Exception], message: str, call: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


# --- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("D_mul", [9, 20], ids=["D_mul=K", "D_mul>K"])
def test_a_plain_file_loads_into_an_over_parameterized_layer(D_mul: int) -> None:
    plain = CondConv2d(4, 6, 3, groups=2)
    layer, x = train(CondConv2d(4, 6, 3, groups=2, D_mul=D_mul)), images(plain)
    state = plain.state_dict()
    layer.load_state_dict(state)
    assert not layer.D.any()
    assert torch.equal(layer(x), plain(x))
    assert "D" not in state
    folded = train(layer).fold()
    assert folded.state_dict().keys() == state.keys()
    plain.load_state_dict(folded.state_dict())
    assert torch.equal(plain(x), folded(x))
    twin = CondConv2d(4, 6, 3, groups=2, D_mul=D_mul)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x), layer(x))
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        CondConv2d(4, 6, 3, num_experts=3, D_mul=D_mul).load_state_dict(state)


def test_pickle_and_repr() -> None:
    layer = train(CondConv2d(4, 6, 3, D_mul=20, routing=False, evaluation="kernels"))
    twin, x, alpha = pickle.loads(pickle.dumps(layer)), images(layer), torch.rand(3, 4)
    assert torch.equal(twin(x, alpha), layer(x, alpha))
    assert repr(twin) == (
        "CondConv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), num_experts=4, D_mul=20, "
        'evaluation="kernels", routing=False)'
    )
    assert twin.spec == CondConvSpec(4, 6, (3, 3), num_experts=4, D_mul=20)


# --- precision ---------------------------------------------------------------------------


@every_evaluation
def test_autocast_convolves_what_the_folded_layer_convolves(evaluation: str) -> None:
    layer = train(CondConv2d(4, 6, 3, D_mul="K", evaluation=evaluation), size=1e-3)
    x = images(layer)
    exact, folded = layer(x), layer.fold()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.routing(x).dtype is torch.float32
        y = layer(x)
        assert y.dtype is torch.bfloat16
        torch.testing.assert_close(y, folded(x), rtol=2**-8, atol=2**-8)
    torch.testing.assert_close(y.float(), exact, rtol=2**-6, atol=2**-6)
    y.sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_layers_of_other_types(dtype: torch.dtype) -> None:
    layer = train(CondConv2d(4, 6, 3, D_mul=11, dtype=dtype))
    y, folded = layer(images(layer)), layer.fold()
    assert {y.dtype, folded.weight.dtype, folded.routing.weight.dtype} == {dtype}
    loose = {torch.float64: 1e-12, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(folded(images(layer)), y, rtol=loose, atol=loose)


def test_on_the_meta_device() -> None:
    layer = CondConv2d(4, 6, 3, D_mul=11, device="meta")
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert layer(torch.zeros(2, 4, 7, 7, device="meta")).shape == (2, 6, 5, 5)
    assert layer.fold().weight.shape == (4, 6, 4, 3, 3)


class TimmCondConv(nn.Module):
    """timm's layer as its formula reads: flat experts, routed by a Linear with a bias.

    Source: ``CondConv2d`` of timm/layers/cond_conv2d.py, and ``CondConvResidual`` of
    timm/models/_efficientnet_blocks.py.
    """

    def __init__(self, I: int, O: int, size: int, experts: int, groups: int) -> None:
        super().__init__()
        self.shape, self.groups = (O, I // groups, size, size), groups
        self.routing_fn = nn.Linear(I, experts)
        self.weight = nn.Parameter(torch.randn(experts, O * (I // groups) * size**2) / 5)
        self.bias = nn.Parameter(torch.randn(experts, O))

    def forward(self, x: Tensor) -> Tensor:
        alpha = torch.sigmoid(self.routing_fn(x.mean((2, 3))))
        kernels, biases = (alpha @ self.weight).unflatten(1, self.shape), alpha @ self.bias
        pairs = zip(x.split(1), kernels, biases, strict=True)
        return torch.cat(
            [
                nn.functional.conv2d(image, kernel, bias, padding=1, groups=self.groups)
                for image, kernel, bias in pairs
            ]
        )


@pytest.mark.parametrize("groups", [1, 4], ids=["dense", "depthwise"])
@pytest.mark.parametrize("D_mul", [None, "K"], ids=["plain", "over-parameterized"])
def test_timm_s_weights_load_exactly(D_mul: Any, groups: int) -> None:
    torch.manual_seed(0)
    theirs = TimmCondConv(4, 8, 3, 3, groups)
    given = {"padding": 1, "groups": groups, "num_experts": 3, "routing_bias": True}
    layer = CondConv2d(4, 8, 3, D_mul=D_mul, **given)  # type: ignore[arg-type]
    renamed = {k.replace("routing_fn", "routing"): v for k, v in theirs.state_dict().items()}
    layer.load_state_dict(renamed)
    x = images(layer)
    torch.testing.assert_close(layer(x), theirs(x))
    assert torch.equal(layer.routing.bias, theirs.routing_fn.bias)
