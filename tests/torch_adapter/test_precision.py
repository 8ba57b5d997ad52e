"""What precision is kept, and which memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from doconv_core import compose_kernel
from doconv_torch import DOConv1d, DOConv2d, DOConvTranspose2d, get_state
from tests.torch_adapter.helpers import train

LAYERS = {
    "conv": (DOConv2d, (32, 48, 3), {}),
    "grouped": (DOConv2d, (32, 48, 3), {"groups": 4}),
    "depthwise": (DOConv2d, (32, 64, 3), {"groups": 32}),
    "free-columns": (DOConv2d, (32, 48, 3), {"D_mul": 22}),
    "1d": (DOConv1d, (32, 48, 5), {}),
    "transposed": (DOConvTranspose2d, (32, 48, 3), {}),
    "transposed-grouped": (DOConvTranspose2d, (32, 48, 3), {"groups": 4, "D_mul": 22}),
}
every_layer = pytest.mark.parametrize(("cls", "sizes", "more"), LAYERS.values(), ids=LAYERS.keys())


def exact_kernel(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The kernel in float64, and the sum of the magnitudes of its terms, canonical."""
    state = get_state(layer)[""]
    W, D = state.W.astype(np.float64), state.D.astype(np.float64)
    return compose_kernel(state.spec, W, D), compose_kernel(state.spec, abs(W), abs(D))


def canonical(layer: Any, kernel: Tensor) -> np.ndarray:
    """A kernel as the core has it; the detour through a layer's weight does the axes."""
    plain = layer.fold()
    plain.weight.data = kernel.detach()
    return get_state(type(layer).from_conv(plain))[""].W[..., : layer.spec.K]


def half_ulp(exact: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """What one rounding may cost; a little more, as ``exact`` is itself rounded to float64."""
    info = torch.finfo(dtype)
    return info.eps / 2 * np.maximum(abs(exact), info.tiny) * (1 + 1e-6)


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_composed_and_folded_kernels_are_within_the_bound(
    cls: Any, sizes: Any, more: dict, dtype: torch.dtype, size: float
) -> None:
    layer = train(cls(*sizes, **more, dtype=dtype), size)
    exact, terms = exact_kernel(layer)
    eps = torch.finfo(dtype).eps
    error = abs(canonical(layer, layer.composed_kernel()) - exact)
    bound = (layer.D_mul + 2) * eps * terms
    np.testing.assert_array_less(error, bound)
    error = abs(canonical(layer, layer.fold().weight) - exact)
    np.testing.assert_array_less(error, bound)
    if dtype is torch.float32:
        np.testing.assert_array_less(error, half_ulp(exact, dtype))


@every_layer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_parameters_compose_to_a_rounding_or_two(
    cls: Any, sizes: Any, more: dict, dtype: torch.dtype
) -> None:
    """Residual form: the part of a small D is lost by `(1 + D) @ W`, not here."""
    layer = train(cls(*sizes, **more), 0.01).to(dtype)
    exact, terms = exact_kernel(layer)
    eps = torch.finfo(dtype).eps
    error = abs(canonical(layer, layer.composed_kernel().float()) - exact)
    # The product is rounded, then the sum: eps/2 of each (S/K copies of the identity: of each).
    copies = max(1, layer.D_mul // layer.spec.K)
    np.testing.assert_array_less(error, copies * eps * terms)
    folded = canonical(layer, layer.fold().weight.float())
    np.testing.assert_array_less(abs(folded - exact), half_ulp(exact, dtype))


@pytest.mark.integration("autocast", "train", "fold")
@pytest.mark.parametrize("seed", range(4))
@every_layer
def test_bfloat16_autocast_trains_what_is_deployed(
    cls: Any, sizes: Any, more: dict, seed: int
) -> None:
    """The composed kernel is float32 and within 1e-6; autocast rounds it as it rounds a weight.

    So the outputs are equal, unless a kernel element lies between the two float32 neighbours
    right at a middle of two bfloat16 numbers: 2 elements in 10^5 (measured), by 1 ulp.
    """
    torch.manual_seed(seed)
    layer = train(cls(*sizes, padding=1, **more), 0.1, seed)
    folded = layer.fold()
    assert (layer.composed_kernel() - folded.weight).abs().max() <= 1e-6
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(2, 32, *(8,) * (layer.weight.ndim - 2))
        kernel = layer.composed_kernel()
        trained, deployed = layer(x), folded(x)
    assert kernel.dtype is torch.float32  # composed outside autocast
    assert trained.dtype is torch.bfloat16
    different = kernel.bfloat16() != folded.weight.bfloat16()
    assert different.sum() <= 1e-3 * different.numel()
    if not different.any():
        assert torch.equal(trained, deployed)
    else:
        torch.testing.assert_close(trained, deployed, rtol=2**-7, atol=2**-7)


def test_bfloat16_autocast_output_equals_the_folded_convolution_exactly() -> None:
    torch.manual_seed(0)
    layer = train(DOConv2d(32, 48, 3, padding=1), 0.1)
    x = torch.randn(4, 32, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer.fold()(x))


def test_autocast_gradients_arrive_in_the_parameters_precision() -> None:
    layer = train(DOConv2d(8, 8, 3, D_mul=11))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8, 6, 6)).float().square().sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {torch.float32}


LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
HOSTS = {"conv": DOConv2d, "transposed": DOConvTranspose2d}


@pytest.mark.parametrize("groups", [1, 4], ids=["conv", "depthwise"])
def test_backward_within_autocast_keeps_the_parameters_precision(groups: int) -> None:
    """Torch advises against it, and many loops do it; elsewhere D's product is rounded then."""
    layer = train(DOConv2d(4, 4, 3, groups=groups))
    kernel = layer.composed_kernel()
    direction = torch.randn_like(kernel)
    factors = (layer.weight, layer.D)
    outside = torch.autograd.grad(kernel, factors, direction, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        within = torch.autograd.grad(kernel, factors, direction)
    assert all(torch.equal(a, b) for a, b in zip(outside, within, strict=True))


@pytest.mark.parametrize("of_input", LAYOUTS.values(), ids=[f"x-{name}" for name in LAYOUTS])
@pytest.mark.parametrize("of_weight", LAYOUTS.values(), ids=[f"w-{name}" for name in LAYOUTS])
@pytest.mark.parametrize("more", [{}, {"groups": 4}, {"D_mul": 14}], ids=str)
@pytest.mark.parametrize("cls", HOSTS.values(), ids=HOSTS.keys())
def test_memory_layout_of_kernel_and_output_is_the_host_s(
    cls: Any, more: dict, of_weight: torch.memory_format, of_input: torch.memory_format
) -> None:
    layer = train(cls(16, 24, 3, **more)).to(memory_format=of_weight)
    plain: nn.Module = layer.fold()
    x = torch.randn(2, 16, 7, 6).to(memory_format=of_input)
    assert plain.weight.is_contiguous(memory_format=of_weight)
    assert layer.composed_kernel().stride() == plain.weight.stride()
    assert layer(x).stride() == plain(x).stride()
    torch.testing.assert_close(layer(x), plain(x))
