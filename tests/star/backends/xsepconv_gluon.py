"""MXNet Gluon in the star of XSepConv."""

from __future__ import annotations

from typing import Any

import numpy as np

import doconv_gluon
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_core.neighbours.xsepconv import NAMES
from doconv_gluon.layers.arrays import spec_of
from doconv_gluon.mxnet import mx
from tests.star.backends.backend_gluon import ndarray
from tests.star.cases.xsepconv import XSepArrays, XSepCase, XSepConvBackend, XSepGradients


class GluonBackend(XSepConvBackend):
    name = "gluon"

    def layer(self, case: XSepCase, arrays: XSepArrays) -> Any:
        spec = case.spec
        layer = doconv_gluon.XSepConv2D(
            spec.channels,
            spec.kernel_size,
            spec.stride,
            dilation=spec.dilation,
            use_bias=case.bias,
            corner=spec.corner,
            D_mul=spec.D_mul,
        )
        layer.initialize()
        for part, W, D in zip(spec.parts, arrays.W, arrays.D, strict=True):
            conv, K = getattr(layer, part.name), part.conv.K
            conv.weight.set_data(from_canonical(part.conv, W[..., :K], "OIk"))
            if D is not None:
                conv.D.set_data(D)
                if conv.W_extra is not None:
                    conv.W_extra.set_data(np.ascontiguousarray(W[..., K:]))
        if arrays.bias is not None:
            layer.vertical.bias.set_data(arrays.bias)
        return layer

    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        return layer(ndarray(x)).asnumpy()

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> XSepGradients:
        given = ndarray(x)
        given.attach_grad()
        with mx.autograd.record():
            y = layer(given)
        y.backward(ndarray(grad_y))
        convs = [getattr(layer, name) for name in NAMES]
        return XSepGradients(
            given.grad.asnumpy(),
            tuple(map(_W_gradient, convs)),
            tuple(_gradient(getattr(conv, "D", None)) for conv in convs),
            _gradient(layer.vertical.bias),
        )

    def states(self, layer: Any) -> dict[str, Any]:
        return doconv_gluon.get_state(layer)

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def kernels(self, layer: Any) -> tuple[np.ndarray, ...]:
        convs = [getattr(layer, name) for name in NAMES]
        return tuple(
            to_canonical(spec_of(conv), conv.weight.data().asnumpy(), "OIk") for conv in convs
        )


def _gradient(parameter: Any) -> np.ndarray | None:
    return None if parameter is None else parameter.grad().asnumpy()


def _W_gradient(conv: Any) -> np.ndarray:
    own = conv.weight.grad().asnumpy()
    own = own.reshape(*own.shape[:2], -1)
    extra = _gradient(getattr(conv, "W_extra", None))
    return own if extra is None else np.concatenate([own, extra], axis=2)


BACKEND = GluonBackend()
