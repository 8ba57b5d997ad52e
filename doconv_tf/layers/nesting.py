"""The layers of a model and their names."""

from __future__ import annotations

from typing import Any

import keras

from doconv_core import messages
from doconv_keras import nesting
from doconv_keras.nesting import children, everything, named_layers, paths
from doconv_tf import messages as keras_messages

__all__ = ["check_keras", "children", "everything", "holders", "named_layers", "paths"]

LEGACY = ("tf_keras", "tensorflow")


def check_keras(model: Any) -> None:
    """Raise TypeError unless ``model`` is a layer or model of Keras 3."""
    if isinstance(model, keras.layers.Layer):
        return
    if any(base.__module__.split(".")[0] in LEGACY for base in type(model).__mro__):
        raise TypeError(keras_messages.legacy_keras(type(model).__name__))
    raise TypeError(messages.layer.wrong_type("model", model, "a Keras layer or model"))


def holders(root: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Every living layer or model that holds a layer of ``root``; ``root`` too."""
    return nesting.holders(root, keras.layers.Layer, "_layers")
