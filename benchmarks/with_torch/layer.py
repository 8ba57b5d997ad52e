"""One PyTorch convolution: ways of composing its kernel, and its training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from benchmarks.frame.timing import Clock, Step
from benchmarks.subjects.layers import CONVOLUTION, COPY, FEATURE, Layer, Pass
from benchmarks.subjects.work import USUAL, Variant
from benchmarks.with_torch import devices
from doconv_core import DOConvSpec
from doconv_core.native import products
from doconv_torch import convert
from doconv_torch.tensors.composition import compose, compose_into, feature_convolution, pull_back_


def passes(layer: Layer, variant: Variant = USUAL, *, compiled: bool) -> dict[str, Pass]:
    """Forward and backward pass of each way, on one layer; and compiled ones."""
    I, O, k, g = layer.sizes
    torch.manual_seed(0)
    W = _to(torch.randn(O, I // g, k, k), variant).requires_grad_()
    D = (0.01 * torch.randn(I, k * k, k * k)).to(variant.device).requires_grad_()
    x = _to(torch.randn(layer.batch, I, layer.size, layer.size), variant).requires_grad_()
    spec = DOConvSpec(I, O, (k, k), g)
    kernel, gradient = torch.empty_like(W), torch.randn_like(W)
    zeros = torch.zeros_like(D)  # so that pulling back in place, again and again, changes nothing
    at_optimizer: Pass = (
        lambda: compose_into(kernel, W.detach(), D.detach(), spec),
        lambda: pull_back_(gradient, W.detach(), zeros, spec),
    )

    def ours(W: Tensor, D: Tensor) -> Tensor:
        return compose(W, D, None, (I, O), g, False, [k, k], k * k)

    def feature(x: Tensor, W: Tensor, D: Tensor) -> Tensor:
        return feature_convolution(x, W.flatten(2), D, None, (k, k), g, 1, k // 2, 1)

    found = {
        COPY: _pass(lambda W: W * 2, W),
        "ours": _pass(ours, W, D),
        "ours, at the optimizer": at_optimizer,
        **_without(products.is_available() and variant.device == "cpu", ours, W, D),
        "one einsum": _pass(partial(_einsum, g), W, D),
        "official way": _pass(partial(_official, g), W, D),
        CONVOLUTION: _pass(lambda x, W: torch.conv2d(x, W, None, 1, k // 2, 1, g), x, W),
        FEATURE: _pass(feature, x, W, D),
    }
    if compiled:
        # Backward passes are repeated here, so none may reuse what the forward pass has left.
        functorch.donated_buffer = False
        found["ours, torch.compile"] = _pass(torch.compile(ours), W, D)
        sums = torch.compile(partial(_sums, g))
        found["sums of K terms, torch.compile"] = _pass(sums, W, D)
    return found


def _without(there: bool, way: Callable[..., Tensor], *arrays: Tensor) -> dict[str, Pass]:
    """The same without the native kernel, where there is one."""
    if not there:
        return {}

    def unused(step: Step) -> Step:
        def run() -> object:
            with products.unused():
                return step()

        return run

    forward, backward = _pass(way, *arrays)
    return {"ours, no native kernel": (unused(forward), unused(backward))}


def _to(array: Tensor, variant: Variant) -> Tensor:
    last = torch.channels_last if variant.channels_last else torch.contiguous_format
    return array.to(variant.device, memory_format=last)


def clock(variant: Variant) -> Clock:
    """What seconds are taken with."""
    return devices.clock(variant.device)


def _pass(way: Callable[..., Tensor], *arrays: Tensor) -> Pass:
    output = way(*arrays)
    gradient = torch.randn_like(output)

    def backward() -> object:
        return torch.autograd.grad(output, arrays, gradient, retain_graph=True)

    return lambda: way(*arrays), backward


def step(layer: Layer, way: str, variant: Variant = USUAL) -> Step:
    """A training step of the layer alone, "plain" or "DO-Conv"."""
    I, O, k, g = layer.sizes
    torch.manual_seed(0)
    model: nn.Module = nn.Conv2d(I, O, k, padding=k // 2, groups=g, bias=False)
    last = torch.channels_last if variant.channels_last else torch.contiguous_format
    model = model.to(device=variant.device, memory_format=last)
    if way == "DO-Conv":
        model = convert(model)
    # inside a network, the layer before wants its gradient too
    x = _to(torch.randn(layer.batch, I, layer.size, layer.size), variant).requires_grad_()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)

    def train() -> None:
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        x.grad = None

    return train


def _einsum(g: int, W: Tensor, D: Tensor) -> Tensor:
    columns, D = W.flatten(2).unflatten(0, (g, -1)), D.unflatten(0, (g, -1))
    return W + torch.einsum("gaks,goas->goak", D, columns).reshape(W.shape)


def _official(g: int, W: Tensor, D: Tensor) -> Tensor:
    identity = torch.eye(D.shape[1], device=D.device).repeat(D.shape[0], 1, 1)
    columns = W.reshape(W.shape[0] // g, D.shape[0], -1)
    return torch.einsum("ims,ois->oim", D + identity, columns).reshape(W.shape)


def _sums(g: int, W: Tensor, D: Tensor) -> Tensor:
    columns, D = W.flatten(2).unflatten(0, (g, -1)), D.unflatten(0, (g, -1)).unsqueeze(1)
    kernel = columns
    for s in range(columns.shape[3]):
        kernel = kernel + D[..., s] * columns[..., s : s + 1]
    return kernel.reshape(W.shape)
