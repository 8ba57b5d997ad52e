"""Keeping a changed model together with its optimizer, and with what was compiled of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from doconv_tf import messages as keras_messages
from doconv_tf.layers.nesting import everything


def refuse_built_optimizer(model: keras.layers.Layer, problem: Callable[[str], str]) -> None:
    """Raise ValueError where an optimizer has listed the variables of the model or a part of it."""
    for layer in everything(model):
        if _has_built_optimizer(layer):
            raise ValueError(problem(layer.name))


def warn_if_not_trained(layers: list[keras.layers.Layer], new: list[Any]) -> None:
    """Warn of the models whose optimizer does not know new variables that they train."""
    new_ids = {id(variable) for variable in new}
    for layer in layers:
        if not _has_built_optimizer(layer):
            continue
        if not new_ids.isdisjoint(map(id, layer.trainable_variables)):
            warnings.warn(keras_messages.holder_is_fitted(layer.name), UserWarning, stacklevel=3)


def forget_traces(layers: list[keras.layers.Layer]) -> None:
    """Drop what was compiled or listed from layers as they were before."""
    for layer in layers:
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
        if hasattr(layer, "_torch_params"):  # on the torch backend, what `parameters()` lists
            layer._track_variables()


def _has_built_optimizer(layer: keras.layers.Layer) -> bool:
    optimizer = getattr(layer, "optimizer", None) if isinstance(layer, keras.Model) else None
    return optimizer is not None and bool(optimizer.built)
