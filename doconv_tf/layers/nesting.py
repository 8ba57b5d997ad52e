"""The layers of a model and their names."""

from __future__ import annotations

from typing import Any

import keras

from doconv_core import messages
from doconv_keras.layers import nesting
from doconv_keras.layers.nesting import children, everything, named_layers, paths
from doconv_tf.layers.hosts import refuse_legacy

__all__ = ["check_keras", "children", "everything", "holders", "named_layers", "paths"]


def check_keras(model: Any) -> None:
    """Raise TypeError unless ``model`` is a layer or model of Keras 3."""
    if isinstance(model, keras.layers.Layer):
        return
    refuse_legacy(model)
    raise TypeError(messages.layer.wrong_type("model", model, "a Keras layer or model"))


def holders(root: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Every living layer or model that holds a layer of ``root``; ``root`` too."""
    return nesting.holders(root, keras.layers.Layer, "_layers")
