"""Which layers can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras

from doconv_core import messages
from doconv_tf.base import FLOATING, DOConvBase
from doconv_tf.layers import LAYERS
from doconv_tf.traversal import children, everything, paths

HOSTS: dict[type[keras.layers.Layer], type[DOConvBase]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""


class Convolution(NamedTuple):
    """A convolution of a model: all its names, and why it cannot be over-parameterized."""

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
        if not isinstance(layer, tuple(HOSTS)):
            continue
        reason = messages.RECOMPUTED_WEIGHT if id(layer) in recomputed else why_plain(layer)
        found.setdefault(id(layer), Convolution([], layer, reason)).names.append(name)
    return list(found.values())


def why_plain(layer: keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    if type(layer) in LAYERS:
        return ""
    if type(layer) not in HOSTS:
        return messages.OWN_FORWARD
    if "call" in vars(layer):
        return messages.INSTANCE_FORWARD
    if layer.quantization_mode is not None:
        return messages.QUANTIZED
    if getattr(layer, "lora_enabled", False):
        return messages.LORA
    if layer.variable_dtype not in FLOATING:
        return messages.NOT_FLOATING
    kernels = 2 if hasattr(layer, "pointwise_initializer") else 1
    if layer.built and len(layer.variables) != kernels + layer.use_bias:
        return messages.OTHER_ARRAYS
    return messages.POINTWISE if math.prod(layer.kernel_size) == 1 else ""
