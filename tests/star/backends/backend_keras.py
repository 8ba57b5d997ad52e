"""Keras 3 in the star of tests, on the backend that KERAS_BACKEND names.

Keras pads by "valid" or "same" only. Here a case's explicit padding is made outside the layer:
zeros around the input, or for a transposed layer a crop of its output.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

import doconv_tf
from doconv_core import DOConvSpec, LayerState, State
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_tf.layers.base import DOConvNd
from doconv_tf.layers.hosts import HOSTS
from tests.keras_adapter import autodiff
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Arrays, Case
from tests.star.oracles.conv import Gradients
from tests.star.training import LINEAR, Loss

# jax compiles every eager operation on its own; one function in all is several times faster.
# tests/keras_adapter/test_ways.py holds all ways of all backends to the same bits.
HOW = "jit" if keras.backend.backend() == "jax" else "eager"


class KerasBackend(Backend):
    name = "keras"

    def unsupported(self, case: Case) -> str:
        if case.padding_mode != "zeros":
            return "Keras's convolutions have no padding mode"
        if case.spec.transposed and case.spec.groups > 1:
            return "Keras's transposed convolutions have no groups"
        if max(case.stride) > 1 and max(case.dilation) > 1:
            return "Keras's convolutions have stride or dilation"
        return ""

    def layer(self, case: Case, arrays: Arrays, *, composition: str = "kernel") -> Any:
        host, arguments = _host(case)
        layer = HOSTS[host](**arguments, D_mul=case.spec.S, composition=composition)
        _build(layer, case)
        self.set_states(layer, {"": LayerState(case.spec, arrays.W, arrays.D, arrays.bias)})
        return layer

    def plain(self, case: Case, kernel: np.ndarray, bias: np.ndarray | None) -> Any:
        host, arguments = _host(case)
        layer = host(**arguments)
        _build(layer, case)
        kernel = from_canonical(case.spec, kernel, HOSTS[host].layout)
        layer.set_weights([kernel] if bias is None else [kernel, bias])
        return layer

    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        return _channels_first(autodiff.forward(_function(layer), _channels_last(x), HOW))

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> Gradients:
        grad_x, grads = _pull_back(layer, grad_y, LINEAR)(_channels_last(x))
        by_name = {v.name: grad for v, grad in zip(layer.variables, grads, strict=True)}
        canonical = [
            to_canonical(layer.spec, by_name[name], layer.layout)
            for name in ("kernel", "W_extra")
            if name in by_name
        ]
        return Gradients(
            _channels_first(grad_x),
            np.concatenate(canonical, axis=2),
            by_name.get("D"),
            by_name.get("bias"),
        )

    def train(
        self, layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss, *, steps: int, lr: float
    ) -> Any:
        # As in fit, the step is traced once where it is taken often; eagerly, it takes longer.
        how = "graph" if steps > 1 and "graph" in autodiff.WAYS else HOW
        optimizer, pull_back = keras.optimizers.SGD(lr), _pull_back(layer, target, loss, how)
        for _ in range(steps):
            grads = pull_back(_channels_last(x))[1]
            tensors = [keras.ops.convert_to_tensor(grad) for grad in grads]
            optimizer.apply(tensors, layer.trainable_variables)
        return layer

    def states(self, model: Any) -> State:
        return doconv_tf.get_state(model)

    def set_states(self, model: Any, state: State) -> None:
        doconv_tf.set_state(model, state)

    def kernel(self, layer: Any) -> np.ndarray:
        spec: DOConvSpec = layer.case.spec
        layout = (layer if isinstance(layer, DOConvNd) else HOSTS[type(layer)]).layout
        return to_canonical(spec, autodiff.to_numpy(layer.kernel), layout)

    def fold(self, layer: Any) -> Any:
        return _keep_case(layer, layer.fold())

    def convert(self, model: Any, **options: Any) -> Any:
        return _keep_case(model, doconv_tf.convert(model, **options))

    def load_official(self, model: Any, checkpoint: dict[str, np.ndarray], source: str) -> None:
        doconv_tf.load_official(model, checkpoint, source=source)

    def network(self, layers: list[Any]) -> Any:
        channels = layers[0].case.spec.in_channels
        model = keras.Sequential([keras.Input((*(None,) * layers[0].case.ndim, channels))])
        for layer in layers:
            model.add(layer)
            model.add(keras.layers.ReLU())
        return model


def _host(case: Case) -> tuple[type, dict[str, Any]]:
    """Keras's class for a case, and its arguments."""
    spec, ndim = case.spec, case.ndim
    arguments: dict[str, Any] = {
        "kernel_size": spec.kernel_size,
        "strides": case.stride,
        "dilation_rate": case.dilation,
        "use_bias": case.bias,
    }
    if spec.transposed:
        # None lets Keras choose: what no output padding gives, unless a stride exceeds its kernel.
        sizes = zip(spec.kernel_size, case.stride, strict=True)
        told = any(case.output_padding) or any(k < s for k, s in sizes)
        arguments |= {
            "filters": spec.out_channels,
            "output_padding": case.output_padding if told else None,
        }
        return getattr(keras.layers, f"Conv{ndim}DTranspose"), arguments
    if spec.groups == spec.in_channels and ndim < 3:  # there is no DepthwiseConv3D
        arguments["depth_multiplier"] = spec.out_channels // spec.in_channels
        return getattr(keras.layers, f"DepthwiseConv{ndim}D"), arguments
    arguments |= {"filters": spec.out_channels, "groups": spec.groups}
    return getattr(keras.layers, f"Conv{ndim}D"), arguments


def _build(layer: Any, case: Case) -> None:
    # Of torch 2.13's tensors with NumPy 2, which Keras 3.15 reads by np.array(tensor). For the
    # rest of this test: pytest puts the filters back.
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
    layer.build((None, *(None,) * case.ndim, case.spec.in_channels))
    layer.case = case


def _keep_case(layer: Any, other: Any) -> Any:
    other.case = getattr(layer, "case", None)  # a network has none
    return other


def _function(layer: Any) -> Any:
    case: Case | None = getattr(layer, "case", None)
    if case is None:
        return lambda x: layer(x)  # a new function each time: jax.jit keeps what it traced
    crop = (slice(None), *(slice(p, -p or None) for p in case.padding))

    def call(x: Any) -> Any:
        if case.spec.transposed:
            return layer(x)[crop]
        return layer(keras.ops.pad(x, ((0, 0), *((p, p) for p in case.padding), (0, 0))))

    return call


def _pull_back(layer: Any, target: np.ndarray, loss: Loss, how: str = HOW) -> autodiff.PullBack:
    function, above = _function(layer), keras.ops.convert_to_tensor(_channels_last(target))
    return autodiff.pull_back(layer, lambda x: keras.ops.sum(loss.term(function(x), above)), how)


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 1)


BACKEND = KerasBackend()
