"""Which layers can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import keras

from doconv_core import CondConvSpec, DOConvSpec, messages
from doconv_tf.base import FLOATING, DOConvBase
from doconv_tf.condconv import CONDCONV_LAYERS
from doconv_tf.condconv_base import CondConvBase
from doconv_tf.layers import LAYERS
from doconv_tf.traversal import children, everything, paths

HOSTS: dict[type[keras.layers.Layer], type[DOConvBase]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""


class Convolution(NamedTuple):
    """A convolution (or CondConv layer) of a model: its names, and why convert leaves it."""

    names: list[str]
    layer: keras.layers.Layer
    reason: str


def convolutions(root: keras.layers.Layer) -> list[Convolution]:
    """Every convolution of a model once, over-parameterized or not, in the model's order."""
    recomputed = {
        id(child)
        for holder in everything(root)
        if isinstance(holder, keras.layers.SpectralNormalization)
        for child in children(holder)
    }
    found: dict[int, Convolution] = {}
    for name, layer in paths(root):
        if not isinstance(layer, (*HOSTS, CondConvBase)):
            continue
        reason = messages.RECOMPUTED_WEIGHT if id(layer) in recomputed else why_plain(layer)
        found.setdefault(id(layer), Convolution([], layer, reason)).names.append(name)
    return list(found.values())


def is_over_parameterized(layer: keras.layers.Layer) -> bool:
    """Whether fold has something to do, once the layer is built."""
    if isinstance(layer, CondConvBase):
        return layer.D_mul is not None
    return isinstance(layer, DOConvBase)


def over_parameterized_spec(
    layer: keras.layers.Layer, D_mul: int | None
) -> DOConvSpec | CondConvSpec:
    """The sizes that a plain layer has when over-parameterized.

    Raises:
        ValueError: D_mul is too small.
    """
    if isinstance(layer, CondConvBase):
        return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)
    return HOSTS[type(layer)].read_spec(layer, D_mul)


def why_plain(layer: keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    if type(layer) in LAYERS:
        return ""
    if type(layer) not in (*HOSTS, *CONDCONV_LAYERS):
        return messages.OWN_FORWARD
    if "call" in vars(layer):
        return messages.INSTANCE_FORWARD
    if layer.quantization_mode is not None:
        return messages.QUANTIZED
    if getattr(layer, "lora_enabled", False):
        return messages.LORA
    if layer.variable_dtype not in FLOATING:
        return messages.NOT_FLOATING
    if not isinstance(layer, CondConvBase):
        kernels = 2 if hasattr(layer, "pointwise_initializer") else 1
        if layer.built and len(layer.variables) != kernels + layer.use_bias:
            return messages.OTHER_ARRAYS
    return messages.POINTWISE if math.prod(layer.kernel_size) == 1 else ""
