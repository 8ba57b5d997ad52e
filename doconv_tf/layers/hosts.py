"""Keras's own convolutions: which there are, and why one has to stay plain."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from doconv_core import messages
from doconv_keras.layers import hosts
from doconv_keras.layers.hosts import FLOATING
from doconv_tf import messages as keras_messages

__all__ = ["FLOATING", "HOSTS", "RECURRENT", "becomes", "class_for", "is_convolution",
           "refuse_legacy", "why_plain"]  # fmt: skip

HOSTS: hosts.Hosts = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""

RECURRENT = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
"""Layers of convolutions that are never converted, but have a row in a summary."""

LEGACY = ("tf_keras", "tensorflow.python.keras")


def is_convolution(layer: Any) -> bool:
    """Whether a layer is one of Keras's convolutions, or of a subclass; our layers are."""
    return isinstance(layer, (*HOSTS, *RECURRENT))


def why_plain(layer: keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    if isinstance(layer, RECURRENT):
        return keras_messages.RECURRENT
    return hosts.why_plain(HOSTS, layer, _why_of_keras_3)


def _why_of_keras_3(layer: keras.layers.Layer) -> str:
    if layer.quantization_mode is not None:
        return messages.model.QUANTIZED
    return keras_messages.LORA if getattr(layer, "lora_enabled", False) else ""


def _register(package: str, made: type[Any]) -> None:
    keras.saving.register_keras_serializable(f"doconv_tf of {package}")(made)


class_for = partial(hosts.class_for, HOSTS)
becomes = partial(hosts.becomes, HOSTS, _register)


def refuse_legacy(given: Any) -> None:
    """Raise TypeError for a layer, model or symbolic tensor of the legacy tf_keras.

    Our layers would be called by it without an error, and not be trained.
    """
    # By modules: for TensorFlow a symbolic tensor of tf_keras is a tensor as any other.
    if any(base.__module__.startswith(LEGACY) for base in type(given).__mro__):
        raise TypeError(keras_messages.legacy_keras(type(given).__name__))
