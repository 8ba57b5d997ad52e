"""MXNet Gluon in the star of CondConv."""

from __future__ import annotations

from typing import Any

import numpy as np

import doconv_gluon
from doconv_core import LayerState
from doconv_core.kernel.layout import to_canonical
from doconv_gluon.layers.condconv import CONDCONV_LAYERS
from doconv_gluon.mxnet import mx
from tests.star.backends.backend_gluon import ndarray
from tests.star.backends.family import CondConvBackend
from tests.star.cases.condconv import CondArrays, CondCase
from tests.star.oracles.condconv import CondConvGradients


class GluonBackend(CondConvBackend):
    name = "gluon"

    def unsupported(self, case: CondCase) -> str:
        if case.conv.padding_mode != "zeros":
            return "the host's convolutions pad with zeros only"
        return ""

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
            spec.out_channels,
            spec.kernel_size,
            strides=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=spec.groups,
            use_bias=conv.bias,
            in_channels=spec.in_channels,
            num_experts=spec.num_experts,
            routing=routing,
            routing_bias=routing and arrays.routing_bias is not None,
            evaluation=evaluation,
            D_mul=spec.D_mul,
        )
        layer.initialize()
        own = (arrays.R, arrays.routing_bias) if routing else ()
        state = LayerState(spec, arrays.W, arrays.D, arrays.bias, *own)
        doconv_gluon.set_state(layer, {"": state})
        return layer

    def forward(self, layer: Any, x: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
        return layer(*_arrays(x, alpha)).asnumpy()

    def gradients(
        self, layer: Any, x: np.ndarray, grad_y: np.ndarray, alpha: np.ndarray | None = None
    ) -> CondConvGradients:
        given = _arrays(x, alpha)
        for array in given:
            array.attach_grad()
        with mx.autograd.record():
            y = layer(*given)
        y.backward(ndarray(grad_y))
        W = [
            to_canonical(layer.spec, parameter.grad().asnumpy(), "OIk")
            for parameter in (layer.weight, layer.W_extra)
            if parameter is not None
        ]
        return CondConvGradients(
            given[0].grad.asnumpy(),
            np.concatenate(W, axis=3),
            None if layer.D is None else layer.D.grad().asnumpy(),
            None if layer.bias is None else layer.bias.grad().asnumpy(),
            None if alpha is None else given[1].grad.asnumpy(),
            None if layer.routing is None else layer.routing.weight.grad().asnumpy().T,
            None if alpha is not None or (r := layer.routing.bias) is None else r.grad().asnumpy(),
        )

    def routing(self, x: np.ndarray, R: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        routing = doconv_gluon.Routing(R.shape[1], use_bias=bias is not None)
        routing.initialize()
        routing(ndarray(x))
        routing.weight.set_data(R.T)
        if bias is not None:
            routing.bias.set_data(bias)
        return routing(ndarray(x)).asnumpy()

    def state(self, layer: Any) -> LayerState:
        return doconv_gluon.get_state(layer)[""]

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def convert(self, model: Any, *, D_mul: int | None = None) -> Any:
        return doconv_gluon.convert(model, D_mul=D_mul)

    def fold_model(self, model: Any) -> Any:
        return doconv_gluon.fold(model)


class HybridizedGluonBackend(GluonBackend):
    """The same layers, each compiled to its graph."""

    name = "gluon, hybridized"

    def layer(self, *args: Any, **kwargs: Any) -> Any:
        layer = super().layer(*args, **kwargs)
        layer.hybridize(static_alloc=True, static_shape=True)
        return layer


def _arrays(x: np.ndarray, alpha: np.ndarray | None) -> list[Any]:
    return [ndarray(array) for array in (x, alpha) if array is not None]


BACKEND = GluonBackend()
HYBRIDIZED = HybridizedGluonBackend()
