"""Composition on every device that is there, by its own way, against float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_torch import DOConv2d, OptimizerDOConv, convert
from doconv_torch.tensors import arithmetic

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]
every_device = pytest.mark.parametrize("device", DEVICES)
every_format = pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"]
)


def layer(device: str, memory_format: Any) -> Any:
    torch.manual_seed(0)
    made = DOConv2d(12, 20, 3).to(device=device, memory_format=memory_format)
    nn.init.normal_(made.D, std=0.1)
    return made


@every_device
@every_format
def test_a_layer_composes_and_pulls_back_what_float64_does(device: str, memory_format: Any) -> None:
    ours = layer(device, memory_format)
    kernel = ours.composed_kernel()
    grad = torch.randn_like(kernel)
    kernel.backward(grad)
    W, D = (p.detach().cpu().double().requires_grad_() for p in (ours.weight, ours.D))
    exact = W + torch.einsum("iks,ois->oik", D, W.flatten(2)).reshape(W.shape)
    exact.backward(grad.cpu().double())
    for actual, expected in ((kernel, exact), (ours.weight.grad, W.grad), (ours.D.grad, D.grad)):
        torch.testing.assert_close(actual.cpu().double(), expected, rtol=1e-4, atol=1e-4)


@every_device
def test_training_at_the_optimizer_is_training_the_layers(device: str) -> None:
    def trained(at_optimizer: bool) -> Tensor:
        torch.manual_seed(0)
        net: nn.Module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).to(device)
        net = net if at_optimizer else convert(net)
        optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9)
        over = OptimizerDOConv(net, optimizer) if at_optimizer else None
        x = torch.randn(2, 3, 8, 8, device=device)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        assert over is None or over.state_dict()["0"]["D"].abs().max() > 0
        return net(x)

    torch.testing.assert_close(trained(True), trained(False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("turned", [False, True], ids=["contiguous", "last"])
def test_a_gpu_s_way_adds_a_product_in_place(turned: bool) -> None:
    """What runs on a GPU, on this processor: a copy, and one batched product that adds to it."""
    W, D = torch.randn(20, 12, 9, dtype=torch.float64), torch.randn(12, 9, 9, dtype=torch.float64)
    W = W.mT.contiguous().mT if turned else W
    out = arithmetic._add_product(W.clone(), W, D.mT)
    torch.testing.assert_close(out, W + torch.einsum("iks,ois->oik", D, W))
    assert out.stride() == W.stride()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_composition_can_be_captured_in_a_cuda_graph() -> None:
    ours = layer("cuda", torch.contiguous_format)
    expected = ours.composed_kernel().detach()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernel = ours.composed_kernel()
    graph.replay()
    torch.testing.assert_close(kernel, expected)
