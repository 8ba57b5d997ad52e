"""PyTorch in the star of CondConv."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import doconv_torch
from doconv_core import LayerState
from doconv_core.kernel.layout import to_canonical
from doconv_torch.layers.condconv import CONDCONV_LAYERS
from tests.star.backends.family import CondConvBackend
from tests.star.cases.condconv import CondArrays, CondCase
from tests.star.oracles.condconv import CondConvGradients


class TorchBackend(CondConvBackend):
    name = "torch"

    def layer(
        self,
        case: CondCase,
        arrays: CondArrays,
        *,
        evaluation: str = "auto",
        routing: bool = False,
    ) -> Any:
        spec, conv = case.spec, case.conv
        layer = CONDCONV_LAYERS[conv.ndim - 1](
            spec.in_channels,
            spec.out_channels,
            spec.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=spec.groups,
            bias=conv.bias,
            padding_mode=conv.padding_mode,
            num_experts=spec.num_experts,
            routing=routing,
            routing_bias=routing and arrays.routing_bias is not None,
            evaluation=evaluation,
            D_mul=spec.D_mul,
        )
        own = (arrays.R, arrays.routing_bias) if routing else ()
        state = LayerState(spec, arrays.W, arrays.D, arrays.bias, *own)
        doconv_torch.set_state(layer, {"": state})
        return layer

    def forward(self, layer: Any, x: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
        with torch.no_grad():
            return layer(*_tensors(x, alpha)).numpy()

    def gradients(
        self, layer: Any, x: np.ndarray, grad_y: np.ndarray, alpha: np.ndarray | None = None
    ) -> CondConvGradients:
        layer.zero_grad()
        given = [tensor.requires_grad_() for tensor in _tensors(x, alpha)]
        layer(*given).backward(torch.from_numpy(grad_y))
        W = [to_canonical(layer.spec, layer.weight.grad.numpy(), "OIk")]
        if layer.W_extra is not None:
            W.append(to_canonical(layer.spec, layer.W_extra.grad.numpy(), "OIk"))
        return CondConvGradients(
            given[0].grad.numpy(),
            np.concatenate(W, axis=3),
            None if layer.D is None else layer.D.grad.numpy(),
            None if layer.bias is None else layer.bias.grad.numpy(),
            None if alpha is None else given[1].grad.numpy(),
            None if layer.routing is None else layer.routing.weight.grad.numpy().T,
            None if alpha is not None or (r := layer.routing.bias) is None else r.grad.numpy(),
        )

    def routing(self, x: np.ndarray, R: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        routing = doconv_torch.Routing(*R.shape, bias=bias is not None)
        with torch.no_grad():
            routing.weight.copy_(torch.from_numpy(R.T.copy()))
            if bias is not None:
                routing.bias.copy_(torch.from_numpy(bias))
            return routing(torch.from_numpy(x)).numpy()

    def state(self, layer: Any) -> LayerState:
        return doconv_torch.get_state(layer)[""]

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def convert(self, model: Any, *, D_mul: int | None = None) -> Any:
        return doconv_torch.convert(model, D_mul=D_mul)

    def fold_model(self, model: Any) -> Any:
        return doconv_torch.fold(model)


def _tensors(x: np.ndarray, alpha: np.ndarray | None) -> list[torch.Tensor]:
    return [torch.from_numpy(array.copy()) for array in (x, alpha) if array is not None]


BACKEND = TorchBackend()
