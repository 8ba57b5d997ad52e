"""Derivatives of every order and mode: layers are ordinary differentiable functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, jvp, vmap

import doconv_torch
from doconv_core import LayerState, compose_kernel, compose_kernel_gradients
from doconv_core.kernel.layout import to_canonical
from doconv_torch import DOConv2d, DOConvTranspose2d
from doconv_torch.layers.do_conv import LAYERS
from tests.star.cases.conv import CASES, Case, arrays, ids
from tests.torch_adapter.helpers import images, train, trained_network

# torch 2.13 loads its forward-mode rules through its own, deprecated, scripts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

every_case = pytest.mark.parametrize("case", CASES, ids=ids)
every_composition = pytest.mark.parametrize("composition", ["kernel", "feature"])

EPS = float(np.finfo(np.float64).eps)
ULPS = 16


def float64_layer(case: Case, composition: str) -> tuple[nn.Module, Any]:
    """The layer of a case in float64, holding Gaussian arrays, and those arrays."""
    spec, data = case.spec, arrays(case, "gaussian", batch=1)
    name = f"DOConv{'Transpose' if spec.transposed else ''}{case.ndim}d"
    cls = next(layer for layer in LAYERS if layer.__name__ == name)
    more = {"output_padding": case.output_padding} if spec.transposed else {}
    layer = cls(
        spec.in_channels, spec.out_channels, spec.kernel_size, case.stride, case.padding,
        dilation=case.dilation, groups=spec.groups, bias=case.bias,
        padding_mode=case.padding_mode, dtype=torch.float64,
        D_mul=spec.S, composition=composition, **more,
    )  # fmt: skip
    data = type(data)(*(None if a is None else a.astype(np.float64) for a in data))
    doconv_torch.set_state(layer, {"": LayerState(spec, data.W, data.D, data.bias)})
    return layer, data


def as_function(layer: nn.Module) -> tuple[Any, list[Tensor]]:
    """The layer as a function of all its parameters, and their values."""
    names = list(dict(layer.named_parameters()))

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, values, strict=True)), x)

    return function, [p.detach().clone().requires_grad_() for p in layer.parameters()]


@every_composition
@every_case
def test_float64_is_within_float64_s_tolerance_of_the_oracle(case: Case, composition: str) -> None:
    layer, data = float64_layer(case, composition)
    y = layer(torch.from_numpy(data.x)).detach().numpy()
    sizes = [None if a is None else abs(a) for a in (data.x, data.W, data.D, data.bias)]
    error = abs(y - case.oracle(data.x, data.W, data.D, data.bias))
    np.testing.assert_array_less(error, ULPS * EPS * case.oracle(*sizes) + 1e-300)


@every_composition
@every_case
def test_first_and_second_derivatives(case: Case, composition: str) -> None:
    layer, data = float64_layer(case, composition)
    function, values = as_function(layer)
    x = torch.from_numpy(data.x).requires_grad_()
    # fast_mode holds one random projection of the Jacobian against finite differences.
    assert gradcheck(function, (x, *values), fast_mode=True, check_forward_ad=True)
    assert gradgradcheck(function, (x, *values), fast_mode=True)


# Sizes that any blocking of the work splits in several parts, the last one smaller.
LARGE = {
    "conv": lambda: DOConv2d(250, 509, 3),
    "as-images": lambda: DOConv2d(256, 512, 3),
    "as-images-1-channel-a-group": lambda: DOConv2d(129, 128, 5),
    "as-images-3-channels-a-group": lambda: DOConv2d(240, 256, (7, 1)),
    "free-columns": lambda: DOConv2d(250, 251, 3, D_mul=14),
    "grouped": lambda: DOConv2d(256, 514, 3, groups=2),
    "depthwise": lambda: DOConv2d(2053, 2053, 5, groups=2053),
    "transposed": lambda: DOConvTranspose2d(253, 255, 3),
    "channels_last": lambda: DOConv2d(250, 509, 3).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("build", LARGE.values(), ids=LARGE.keys())
def test_a_large_layer_composes_and_pulls_back_what_the_core_does(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The way that is fast with these instructions is right on any processor.
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    torch.manual_seed(0)
    layer = train(build())
    spec, (state,) = layer.spec, doconv_torch.get_state(layer).values()
    layout = "IOk" if spec.transposed else "OIk"
    W, D = state.W.astype(np.float64), state.D.astype(np.float64)
    kernel = layer.composed_kernel()
    grad = torch.randn_like(kernel)
    kernel.backward(grad)
    g = to_canonical(spec, grad.double().numpy(), layout)
    parts = [layer.weight] if layer.W_extra is None else [layer.weight, layer.W_extra]
    grad_W = np.concatenate([to_canonical(spec, p.grad.numpy(), layout) for p in parts], axis=2)
    actual = [to_canonical(spec, kernel.detach().numpy(), layout), grad_W, layer.D.grad.numpy()]

    expected = compose_kernel(spec, W, D), *compose_kernel_gradients(spec, W, D, g)
    W, D, g = abs(W), abs(D), abs(g)
    terms = compose_kernel(spec, W, D), *compose_kernel_gradients(spec, W, D, g)
    for name, ours, exact, size in zip(["kernel", "W", "D"], actual, expected, terms, strict=True):
        bound = ULPS * float(np.finfo(np.float32).eps) * size + 1e-30
        np.testing.assert_array_less(abs(ours - exact), bound, err_msg=name)


FORWARD = {
    "conv": DOConv2d(3, 4, 3, dtype=torch.float64),
    "D_mul>K": DOConv2d(3, 4, 3, dtype=torch.float64, D_mul=11),
    "depthwise": DOConv2d(3, 3, 3, dtype=torch.float64, groups=3),
    "feature": DOConv2d(3, 4, 3, dtype=torch.float64, composition="feature"),
    "transposed": DOConvTranspose2d(3, 4, 3, dtype=torch.float64),
}


@pytest.mark.parametrize("layer", FORWARD.values(), ids=FORWARD.keys())
def test_forward_mode_is_linear_in_D(layer: nn.Module) -> None:
    """The output is affine in D: its derivative along a direction is the difference itself."""
    x, parameters = images(dtype=torch.float64), dict(train(layer).named_parameters())
    direction = torch.randn_like(layer.D)

    def output(D: Tensor) -> Tensor:
        return functional_call(layer, {**parameters, "D": D}, x)

    value, derivative = jvp(output, (layer.D.detach(),), (direction,))
    torch.testing.assert_close(derivative, output(layer.D.detach() + direction) - value)
    with forward_ad.dual_level():
        dual = output(forward_ad.make_dual(layer.D.detach(), direction))
        assert torch.equal(forward_ad.unpack_dual(dual).tangent, derivative)


@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_gradients_per_sample_by_vmap_are_those_of_a_loop(D_mul: int | None) -> None:
    # Batch norm mixes samples while training, so it stays in evaluation mode.
    model = trained_network(D_mul=D_mul).double().eval()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x = images(4, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(model, parameters, sample[None]).square().sum()

    together = vmap(grad(loss), (None, 0))(parameters, x)
    for i, sample in enumerate(x):
        model.zero_grad()
        loss(dict(model.named_parameters()), sample).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(together[name][i], parameter.grad, msg=name)


@pytest.mark.parametrize("layer", FORWARD.values(), ids=FORWARD.keys())
def test_many_gradients_at_once(layer: nn.Module) -> None:
    output = train(layer)(images(dtype=torch.float64))
    directions = torch.randn(3, *output.shape, dtype=torch.float64)
    parameters = list(layer.parameters())
    together = torch.autograd.grad(
        output, parameters, directions, is_grads_batched=True, retain_graph=True
    )
    for i, direction in enumerate(directions):
        alone = torch.autograd.grad(output, parameters, direction, retain_graph=True)
        torch.testing.assert_close([gradient[i] for gradient in together], list(alone))
