"""Keras 3 in the star of CondConv, on the backend that KERAS_BACKEND names.

Keras pads by "valid" or "same" only. Here a case's explicit zeros are put around the input outside
the layer; a layer's own routing must not see them.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

import doconv_tf
from doconv_core import LayerState
from doconv_core.kernel.layout import to_canonical
from doconv_tf.layers.condconv import CONDCONV_LAYERS
from tests.keras_adapter import autodiff
from tests.star.backends.backend_keras import HOW
from tests.star.backends.family import CondConvBackend
from tests.star.cases.condconv import CondArrays, CondCase
from tests.star.oracles.condconv import CondConvGradients


class KerasBackend(CondConvBackend):
    name = "keras"

    def unsupported(self, case: CondCase) -> str:
        if case.conv.padding_mode != "zeros":
            return "Keras's convolutions have no padding mode"
        if max(case.conv.stride) > 1 and max(case.conv.dilation) > 1:
            return "Keras's convolutions have stride or dilation"
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
            dilation_rate=conv.dilation,
            groups=spec.groups,
            use_bias=conv.bias,
            num_experts=spec.num_experts,
            routing=routing,
            routing_bias=routing and arrays.routing_bias is not None,
            evaluation=evaluation,
            D_mul=spec.D_mul,
        )
        # Of torch 2.13's tensors with NumPy 2; see tests/star/backends/backend_keras.py.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        layer.build((None, *(None,) * conv.ndim, spec.in_channels))
        own = (arrays.R, arrays.routing_bias) if routing else ()
        doconv_tf.set_state(layer, {"": LayerState(spec, arrays.W, arrays.D, arrays.bias, *own)})
        layer.case = case
        return layer

    def forward(self, layer: Any, x: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
        function = _function(layer, _tensor(alpha))
        return _channels_first(autodiff.forward(function, _channels_last(x), HOW))

    def gradients(
        self, layer: Any, x: np.ndarray, grad_y: np.ndarray, alpha: np.ndarray | None = None
    ) -> CondConvGradients:
        above, holder = _tensor(_channels_last(grad_y)), _Holder(layer, alpha)
        function = _function(layer, None if alpha is None else holder.alpha)
        pull_back = autodiff.pull_back(holder, lambda x: keras.ops.sum(function(x) * above), HOW)
        grad_x, grads = pull_back(_channels_last(x))
        own = {id(v): grad for v, grad in zip(holder.variables, grads, strict=True)}

        def grad(variable: Any) -> Any:
            return None if variable is None else own[id(variable)]

        W = [
            to_canonical(layer.spec, grad(variable), layer.layout)
            for variable in (layer._kernel, layer.W_extra)
            if variable is not None
        ]
        return CondConvGradients(
            _channels_first(grad_x),
            np.concatenate(W, axis=3),
            grad(layer.D),
            grad(layer.bias),
            grad(holder.alpha),
            None if layer.routing is None else grad(layer.routing.kernel),
            None if layer.routing is None else grad(layer.routing.bias),
        )

    def routing(self, x: np.ndarray, R: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        routing = doconv_tf.Routing(R.shape[1], use_bias=bias is not None)
        routing.build((None, None, R.shape[0]))
        routing.kernel.assign(R)
        if bias is not None:
            routing.bias.assign(bias)
        return autodiff.to_numpy(routing(_tensor(_channels_last(x))))

    def state(self, layer: Any) -> LayerState:
        return doconv_tf.get_state(layer)[""]

    def fold(self, layer: Any) -> Any:
        return _keep_case(layer, layer.fold())

    def convert(self, model: Any, *, D_mul: int | None = None) -> Any:
        return _keep_case(model, doconv_tf.convert(model, D_mul=D_mul))

    def fold_model(self, model: Any) -> Any:
        return _keep_case(model, doconv_tf.fold(model))


class _Holder:
    """A layer's variables and alpha, as one more, in the form that autodiff takes."""

    def __init__(self, layer: Any, alpha: np.ndarray | None) -> None:
        self.alpha = None if alpha is None else keras.Variable(alpha, name="alpha")
        self.variables = layer.variables + ([] if self.alpha is None else [self.alpha])


def _function(layer: Any, alpha: Any) -> Any:
    padding = layer.case.conv.padding
    widths = ((0, 0), *((p, p) for p in padding), (0, 0))

    def call(x: Any) -> Any:
        if not any(padding):
            return layer(x, *([] if alpha is None else [keras.ops.convert_to_tensor(alpha)]))
        padded = keras.ops.pad(x, widths)
        if alpha is None:
            return layer._mixture(padded, layer.routing(x))
        return layer(padded, keras.ops.convert_to_tensor(alpha))

    return call


def _keep_case(layer: Any, other: Any) -> Any:
    other.case = layer.case
    return other


def _tensor(array: np.ndarray | None) -> Any:
    return None if array is None else keras.ops.convert_to_tensor(array)


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 1)


BACKEND = KerasBackend()
