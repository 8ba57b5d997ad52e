"""Keras 3 in the star of XSepConv, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import doconv_tf
from doconv_core.kernel.layout import from_canonical, to_canonical
from tests.keras_adapter import autodiff
from tests.star.backends.backend_keras import HOW, _channels_first, _channels_last
from tests.star.cases.xsepconv import XSepArrays, XSepCase, XSepConvBackend, XSepGradients


class KerasBackend(XSepConvBackend):
    name = "keras"

    def layer(self, case: XSepCase, arrays: XSepArrays) -> Any:
        spec = case.spec
        layer = doconv_tf.XSepConv2D(
            spec.kernel_size,
            spec.stride,
            dilation_rate=spec.dilation,
            use_bias=case.bias,
            corner=spec.corner,
            D_mul=spec.D_mul,
        )
        layer.build((None, None, None, spec.channels))
        for part, conv, W, D in zip(
            spec.parts, layer.convolutions, arrays.W, arrays.D, strict=True
        ):
            K = part.conv.K
            kernel = from_canonical(part.conv, W[..., :K], "kIM")
            (conv.kernel if D is None else conv._kernel).assign(kernel)
            if D is not None:
                conv.D.assign(D)
                if conv.W_extra is not None:
                    extra = from_canonical(part.conv, W[..., K:], "kIM", spatial=False)
                    conv.W_extra.assign(extra)
        if arrays.bias is not None:
            layer.vertical.bias.assign(arrays.bias)
        layer.case = case
        return layer

    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        def call(x: Any) -> Any:  # a new function each time: jax.jit keeps what it traced
            return layer(x)

        return _channels_first(autodiff.forward(call, _channels_last(x), HOW))

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> XSepGradients:
        above = keras.ops.convert_to_tensor(_channels_last(grad_y))
        pull_back = autodiff.pull_back(layer, lambda x: keras.ops.sum(layer(x) * above), HOW)
        grad_x, grads = pull_back(_channels_last(x))
        found = {id(v): grad for v, grad in zip(layer.variables, grads, strict=True)}
        W, D, bias = [], [], None
        for part, conv in zip(layer.case.spec.parts, layer.convolutions, strict=True):
            by_name = {v.name: found[id(v)] for v in conv.variables}
            columns = [
                to_canonical(part.conv, by_name[name], "kIM")
                for name in ("kernel", "W_extra")
                if name in by_name
            ]
            W.append(np.concatenate(columns, axis=2))
            D.append(by_name.get("D"))
            bias = by_name.get("bias")
        return XSepGradients(_channels_first(grad_x), tuple(W), tuple(D), bias)

    def states(self, layer: Any) -> dict[str, Any]:
        return doconv_tf.get_state(layer)

    def fold(self, layer: Any) -> Any:
        folded = layer.fold()
        folded.case = layer.case
        return folded

    def kernels(self, layer: Any) -> tuple[np.ndarray, ...]:
        parts = zip(layer.case.spec.parts, layer.convolutions, strict=True)
        return tuple(
            to_canonical(part.conv, autodiff.to_numpy(conv.kernel), "kIM") for part, conv in parts
        )


BACKEND = KerasBackend()
