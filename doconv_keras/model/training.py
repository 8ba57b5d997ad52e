"""Keeping a changed model together with its optimizer, and with what was traced of it.

``has_built_optimizer`` is the adapter's: whether a layer is a model with one that has listed its
variables.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from doconv_keras.layers.nesting import Layer, everything
from doconv_keras.messages import holder_is_fitted

HasBuiltOptimizer = Callable[[Layer], bool]


def refuse_built_optimizer(
    has_built_optimizer: HasBuiltOptimizer, model: Layer, problem: Callable[[str], str]
) -> None:
    """Raise ValueError where an optimizer has listed the variables of the model or a part of it."""
    for layer in everything(model):
        if has_built_optimizer(layer):
            raise ValueError(problem(layer.name))


def warn_if_not_trained(
    has_built_optimizer: HasBuiltOptimizer, layers: list[Layer], new: list[Any]
) -> None:
    """Warn of the models whose optimizer does not know new variables that they train."""
    new_ids = {id(variable) for variable in new}
    for layer in layers:
        if not has_built_optimizer(layer):
            continue
        if not new_ids.isdisjoint(map(id, layer.trainable_variables)):
            warnings.warn(holder_is_fitted(layer.name), UserWarning, stacklevel=3)


def inner_optimizers(optimizer: Any) -> list[Any]:
    """An optimizer, and those that it wraps (LossScaleOptimizer) or chooses from."""
    inner = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", [])]
    below = [each for one in inner if one is not None for each in inner_optimizers(one)]
    return [*below, optimizer]


def forget_traces(models: type, layers: list[Layer]) -> None:
    """Drop what was compiled of models as they were before."""
    for layer in layers:
        if isinstance(layer, models):
            layer.train_function = layer.test_function = layer.predict_function = None
