"""The convolutions of tf_keras: which there are, and why one has to stay plain."""

from __future__ import annotations

import math
from typing import Any

import tf_keras

from doconv_core import messages

FLOATING = ("float16", "bfloat16", "float32", "float64")

HOSTS: dict[type[tf_keras.layers.Layer], type[Any]] = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""


def is_convolution(layer: Any) -> bool:
    """Whether a layer is one of tf_keras's convolutions, or of a subclass; our layers are."""
    return isinstance(layer, tuple(HOSTS))


def class_for(layer: Any) -> type[Any]:
    """The class of ours that a convolution, or one of a subclass, becomes or is."""
    return next(HOSTS[host] for host in type(layer).__mro__ if host in HOSTS)


def why_plain(layer: tf_keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    own = "host" in vars(type(layer))  # a layer of ours, not a subclass of one
    if type(layer) in HOSTS.values():
        return ""
    if type(layer) not in HOSTS and not own:
        return messages.model.OWN_FORWARD
    if "call" in vars(layer):
        return messages.model.INSTANCE_FORWARD
    if layer.variable_dtype not in FLOATING:
        return messages.model.NOT_FLOATING
    if not own:
        kernels = 2 if hasattr(layer, "pointwise_initializer") else 1
        if layer.built and len(layer.variables) != kernels + layer.use_bias:
            return messages.model.OTHER_ARRAYS
    return messages.model.POINTWISE if math.prod(layer.kernel_size) == 1 else ""
