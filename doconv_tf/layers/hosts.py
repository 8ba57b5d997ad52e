"""Keras's own convolutions: which there are, and why one has to stay plain."""

from __future__ import annotations

import math
from typing import Any

import keras

from doconv_core import messages
from doconv_tf import messages as keras_messages

FLOATING = ("float16", "bfloat16", "float32", "float64")

HOSTS: dict[type[keras.layers.Layer], type[Any]] = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""

RECURRENT = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
"""Layers of convolutions that are never converted, but have a row in a summary."""

OUR_ATTRIBUTES = ("D", "W_extra", "D_mul", "composition", "spec")

HARMLESS = frozenset(("__init__", "get_config", "from_config"))
"""What a subclass may have of its own and still compute what its base class does."""

LEGACY = ("tf_keras", "tensorflow.python.keras")


def is_convolution(layer: Any) -> bool:
    """Whether a layer is one of Keras's convolutions, or of a subclass; our layers are."""
    return isinstance(layer, (*HOSTS, *RECURRENT))


def class_for(layer: Any) -> type[Any] | None:
    """The class of ours that has a convolution's layout; of a subclass, that of its base."""
    return next((HOSTS[host] for host in type(layer).__mro__ if host in HOSTS), None)


def host_of(kind: type[Any]) -> type[Any] | None:
    """The host that computes what layers of a class do: the class, or the one it only constructs.

    None for a class that may compute something else.
    """
    for base in kind.__mro__:
        if base in HOSTS:
            return base
        if base in HOSTS.values():
            return None  # a subclass of ours
        host = next((each for each in kind.__mro__ if each in HOSTS), None)
        for name, value in vars(base).items():
            if name in HARMLESS or (name.startswith("__") and not callable(value)):
                continue
            if name in OUR_ATTRIBUTES or hasattr(host, name):
                return None
    return None


def becomes(kind: type[Any]) -> type[Any] | None:
    """The class that layers of a class become; None where none computes the same.

    A subclass of a host that only constructs it otherwise becomes a class made here, a subclass of
    both; so fold gives it back.
    """
    if kind in HOSTS or (host := host_of(kind)) is None:
        return HOSTS.get(kind)
    made = type(f"DO{kind.__name__}", (HOSTS[host], kind), {"host": kind, "__doc__": kind.__doc__})
    made.__module__ = kind.__module__
    # So that models can be copied and pickled; two classes may have one name.
    package = f"doconv_tf of {kind.__module__}.{kind.__qualname__}"
    keras.saving.register_keras_serializable(package)(made)
    return made


def why_plain(layer: keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    own = "host" in vars(type(layer))  # a layer of ours, not a subclass of one
    if type(layer) in HOSTS.values():
        return ""
    if isinstance(layer, RECURRENT):
        return keras_messages.RECURRENT
    if not own and host_of(type(layer)) is None:
        return messages.model.OWN_FORWARD
    if "call" in vars(layer):
        return messages.model.INSTANCE_FORWARD
    if layer.quantization_mode is not None:
        return messages.model.QUANTIZED
    if getattr(layer, "lora_enabled", False):
        return keras_messages.LORA
    if layer.variable_dtype not in FLOATING:
        return messages.model.NOT_FLOATING
    if not own:
        if not vars(layer).keys().isdisjoint(OUR_ATTRIBUTES):
            return messages.model.NAME_TAKEN
        kernels = 2 if hasattr(layer, "pointwise_initializer") else 1
        if layer.built and len(layer.variables) != kernels + layer.use_bias:
            return messages.model.OTHER_ARRAYS
    return messages.model.POINTWISE if math.prod(layer.kernel_size) == 1 else ""


def refuse_legacy(given: Any) -> None:
    """Raise TypeError for a layer, model or symbolic tensor of the legacy tf_keras.

    Our layers would be called by it without an error, and not be trained.
    """
    # By modules: for TensorFlow a symbolic tensor of tf_keras is a tensor as any other.
    if any(base.__module__.startswith(LEGACY) for base in type(given).__mro__):
        raise TypeError(keras_messages.legacy_keras(type(given).__name__))
