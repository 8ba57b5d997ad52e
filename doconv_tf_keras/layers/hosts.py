"""The convolutions of tf_keras: which there are, and why one has to stay plain."""

from __future__ import annotations

from functools import partial
from typing import Any

import tf_keras

from doconv_keras.layers import hosts
from doconv_keras.layers.hosts import FLOATING
from doconv_tf_keras import messages as tf_keras_messages

__all__ = ["FLOATING", "HOSTS", "RECURRENT", "becomes", "class_for", "is_convolution", "why_plain"]

HOSTS: hosts.Hosts = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""

RECURRENT = (tf_keras.layers.ConvLSTM1D, tf_keras.layers.ConvLSTM2D, tf_keras.layers.ConvLSTM3D)
"""Layers of convolutions that are never converted, but have a row in a summary."""


def is_convolution(layer: Any) -> bool:
    """Whether a layer is one of tf_keras's convolutions, or of a subclass; our layers are."""
    return isinstance(layer, (*HOSTS, *RECURRENT))


def why_plain(layer: tf_keras.layers.Layer) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it."""
    if isinstance(layer, RECURRENT):
        return tf_keras_messages.RECURRENT
    return hosts.why_plain(HOSTS, layer)


def _register(package: str, made: type[Any]) -> None:
    tf_keras.saving.register_keras_serializable(f"doconv_tf_keras of {package}")(made)


class_for = partial(hosts.class_for, HOSTS)
becomes = partial(hosts.becomes, HOSTS, _register)
