"""PyTorch in the star of XSepConv."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import doconv_torch
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_core.neighbours.xsepconv import NAMES
from doconv_torch.layers.hosts import spec_of
from tests.star.cases.xsepconv import XSepArrays, XSepCase, XSepConvBackend, XSepGradients


class TorchBackend(XSepConvBackend):
    name = "torch"

    @torch.no_grad()
    def layer(self, case: XSepCase, arrays: XSepArrays) -> Any:
        spec = case.spec
        layer = doconv_torch.XSepConv2d(
            spec.channels,
            spec.kernel_size,
            spec.stride,
            dilation=spec.dilation,
            bias=case.bias,
            corner=spec.corner,
            D_mul=spec.D_mul,
        )
        for part, W, D in zip(spec.parts, arrays.W, arrays.D, strict=True):
            conv, K = getattr(layer, part.name), part.conv.K
            conv.weight.copy_(torch.from_numpy(from_canonical(part.conv, W[..., :K], "OIk")))
            if D is not None:
                conv.D.copy_(torch.from_numpy(D))
                if conv.W_extra is not None:
                    conv.W_extra.copy_(torch.from_numpy(W[..., K:]))
        if arrays.bias is not None:
            layer.vertical.bias.copy_(torch.from_numpy(arrays.bias))
        return layer

    @torch.no_grad()
    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        return layer(torch.from_numpy(x)).numpy()

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> XSepGradients:
        given = torch.from_numpy(x).requires_grad_()
        layer(given).backward(torch.from_numpy(grad_y))
        convs = [getattr(layer, name) for name in NAMES]
        bias = layer.vertical.bias
        return XSepGradients(
            given.grad.numpy(),
            tuple(map(_W_gradient, convs)),
            tuple(_gradient(getattr(conv, "D", None)) for conv in convs),
            _gradient(bias),
        )

    def states(self, layer: Any) -> dict[str, Any]:
        return doconv_torch.get_state(layer)

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def kernels(self, layer: Any) -> tuple[np.ndarray, ...]:
        convs = [getattr(layer, name) for name in NAMES]
        return tuple(
            to_canonical(spec_of(conv), conv.weight.detach().numpy(), "OIk") for conv in convs
        )


def _gradient(parameter: torch.Tensor | None) -> np.ndarray | None:
    return None if parameter is None else parameter.grad.numpy()


def _W_gradient(conv: Any) -> np.ndarray:
    own = conv.weight.grad.flatten(2).numpy()
    extra = _gradient(getattr(conv, "W_extra", None))
    return own if extra is None else np.concatenate([own, extra], axis=2)


BACKEND = TorchBackend()
