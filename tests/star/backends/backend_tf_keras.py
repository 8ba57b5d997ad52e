"""The legacy tf_keras in the star of tests.

It pads by "valid" or "same" only, as Keras 3 does: see backend_keras.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

import doconv_tf_keras
from doconv_core import DOConvSpec, LayerState, State
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_tf_keras.layers.base import DOConvNd
from doconv_tf_keras.layers.hosts import HOSTS
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Arrays, Case
from tests.star.oracles.conv import Gradients
from tests.star.training import LINEAR, Loss


class TfKerasBackend(Backend):
    name = "tf_keras"

    def unsupported(self, case: Case) -> str:
        if case.padding_mode != "zeros":
            return "the host's convolutions have no padding mode"
        if case.spec.transposed and case.spec.groups > 1:
            return "the host's transposed convolutions have no groups"
        if max(case.stride) > 1 and max(case.dilation) > 1:
            return "the host's convolutions have stride or dilation"
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
        return _channels_first(_function(layer)(tf.constant(_channels_last(x))).numpy())

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> Gradients:
        grad_x, *grads = _gradients(layer, x, grad_y, LINEAR)
        names = [v.name.rpartition("/")[2].removesuffix(":0") for v in layer.trainable_variables]
        by_name = {name: grad.numpy() for name, grad in zip(names, grads, strict=True)}
        kernels = ("kernel", "depthwise_kernel", "W_extra")
        W = [
            to_canonical(layer.spec, by_name[name], layer.layout)
            for name in kernels
            if name in by_name
        ]
        return Gradients(
            _channels_first(grad_x.numpy()),
            np.concatenate(W, axis=2),
            by_name.get("D"),
            by_name.get("bias"),
        )

    def train(
        self, layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss, *, steps: int, lr: float
    ) -> Any:
        optimizer = tf_keras.optimizers.SGD(lr)
        for _ in range(steps):
            _, *grads = _gradients(layer, x, target, loss)
            optimizer.apply_gradients(zip(grads, layer.trainable_variables, strict=True))
        return layer

    def states(self, model: Any) -> State:
        return doconv_tf_keras.get_state(model)

    def set_states(self, model: Any, state: State) -> None:
        doconv_tf_keras.set_state(model, state)

    def kernel(self, layer: Any) -> np.ndarray:
        spec: DOConvSpec = layer.case.spec
        ours = layer if isinstance(layer, DOConvNd) else HOSTS[type(layer)]
        return to_canonical(spec, getattr(layer, ours.kernel_name).numpy(), ours.layout)

    def fold(self, layer: Any) -> Any:
        return _keep_case(layer, layer.fold())

    def convert(self, model: Any, **options: Any) -> Any:
        return _keep_case(model, doconv_tf_keras.convert(model, **options))

    def load_official(self, model: Any, checkpoint: dict[str, np.ndarray], source: str) -> None:
        doconv_tf_keras.load_official(model, checkpoint, source=source)

    def network(self, layers: list[Any]) -> Any:
        channels = layers[0].case.spec.in_channels
        model = tf_keras.Sequential([tf_keras.Input((*(None,) * layers[0].case.ndim, channels))])
        for layer in layers:
            model.add(layer)
            model.add(tf_keras.layers.ReLU())
        return model


def _host(case: Case) -> tuple[type, dict[str, Any]]:
    """The host's class for a case, and its arguments."""
    spec, ndim = case.spec, case.ndim
    arguments: dict[str, Any] = {
        "kernel_size": spec.kernel_size,
        "strides": case.stride,
        "dilation_rate": case.dilation,
        "use_bias": case.bias,
    }
    if spec.transposed:
        # None lets tf_keras choose: what no output padding gives, unless a stride is the longer.
        sizes = zip(spec.kernel_size, case.stride, strict=True)
        told = any(case.output_padding) or any(k < s for k, s in sizes)
        arguments |= {
            "filters": spec.out_channels,
            "output_padding": case.output_padding if told else None,
        }
        return getattr(tf_keras.layers, f"Conv{ndim}DTranspose"), arguments
    if spec.groups == spec.in_channels and ndim < 3:  # there is no DepthwiseConv3D
        arguments["depth_multiplier"] = spec.out_channels // spec.in_channels
        return getattr(tf_keras.layers, f"DepthwiseConv{ndim}D"), arguments
    arguments |= {"filters": spec.out_channels, "groups": spec.groups}
    return getattr(tf_keras.layers, f"Conv{ndim}D"), arguments


def _build(layer: Any, case: Case) -> None:
    layer.build((None, *(None,) * case.ndim, case.spec.in_channels))
    # Not as an attribute of tf_keras's, which would wrap and track what the case holds.
    vars(layer)["case"] = case


def _keep_case(layer: Any, other: Any) -> Any:
    vars(other)["case"] = vars(layer).get("case")  # a network has none
    return other


def _function(layer: Any) -> Callable[[Any], Any]:
    case: Case | None = vars(layer).get("case")
    if case is None:
        return layer
    crop = (slice(None), *(slice(p, -p or None) for p in case.padding))

    def call(x: Any) -> Any:
        if case.spec.transposed:
            return layer(x)[crop]
        return layer(tf.pad(x, ((0, 0), *((p, p) for p in case.padding), (0, 0))))

    return call


def _gradients(layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss) -> list[Any]:
    images, above = (tf.constant(_channels_last(array)) for array in (x, target))
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(loss.term(_function(layer)(images), above))
    return tape.gradient(value, [images, *layer.trainable_variables])


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 1)


BACKEND = TfKerasBackend()
