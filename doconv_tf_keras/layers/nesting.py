"""The layers of a model and their names."""

from __future__ import annotations

from typing import Any

import tf_keras

from doconv_core import messages
from doconv_keras.layers import nesting
from doconv_keras.layers.nesting import children, everything, named_layers, paths
from doconv_tf_keras import messages as tf_keras_messages

__all__ = ["check_tf_keras", "children", "everything", "holders", "is_of_keras_3",
           "named_layers", "paths"]  # fmt: skip


def check_tf_keras(model: Any, name: str = "model") -> None:
    """Raise TypeError unless ``model`` is a layer or model of tf_keras."""
    if isinstance(model, tf_keras.layers.Layer):
        return
    if is_of_keras_3(model):
        raise TypeError(tf_keras_messages.keras_3(type(model).__name__))
    raise TypeError(messages.layer.wrong_type(name, model, "a tf_keras layer or model"))


def is_of_keras_3(value: Any) -> bool:
    """Whether a layer, model or symbolic tensor is Keras 3's."""
    return any(base.__module__.split(".")[0] == "keras" for base in type(value).__mro__)


def holders(root: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
    """Every living layer or model that holds a layer of ``root``; ``root`` too."""
    return nesting.holders(root, tf_keras.layers.Layer, "_self_tracked_trackables")
