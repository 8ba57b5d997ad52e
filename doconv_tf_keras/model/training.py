"""Keeping a changed model together with its optimizer, and with what was traced of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import tf_keras

from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.nesting import everything


def refuse_built_optimizer(model: tf_keras.layers.Layer, problem: Callable[[str], str]) -> None:
    """Raise ValueError where an optimizer has listed the variables of the model or a part of it."""
    for layer in everything(model):
        if _has_built_optimizer(layer):
            raise ValueError(problem(layer.name))


def warn_if_not_trained(layers: list[tf_keras.layers.Layer], new: list[Any]) -> None:
    """Warn of the models whose optimizer does not know new variables that they train."""
    new_ids = {id(variable) for variable in new}
    for layer in layers:
        if not _has_built_optimizer(layer):
            continue
        if not new_ids.isdisjoint(map(id, layer.trainable_variables)):
            warnings.warn(tf_keras_messages.holder_is_fitted(layer.name), UserWarning, stacklevel=3)


def forget_traces(layers: list[tf_keras.layers.Layer]) -> None:
    """Drop what was compiled or listed from layers as they were before."""
    for layer in layers:
        if isinstance(layer, tf_keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None


def _has_built_optimizer(layer: tf_keras.layers.Layer) -> bool:
    optimizer = getattr(layer, "optimizer", None) if isinstance(layer, tf_keras.Model) else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    # The legacy ones take each variable as it comes, and so D too.
    return bool(getattr(optimizer, "_built", False))
