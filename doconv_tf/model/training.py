"""Keeping a changed model together with its optimizer, and with what was compiled of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from doconv_keras.model import training
from doconv_keras.model.training import inner_optimizers


def _has_built_optimizer(layer: keras.layers.Layer) -> bool:
    optimizer = getattr(layer, "optimizer", None) if isinstance(layer, keras.Model) else None
    return optimizer is not None and bool(optimizer.built)


refuse_built_optimizer = partial(training.refuse_built_optimizer, _has_built_optimizer)
warn_if_not_trained = partial(training.warn_if_not_trained, _has_built_optimizer)


def forget_traces(layers: list[keras.layers.Layer]) -> None:
    """Drop what was compiled or listed from layers as they were before."""
    training.forget_traces(keras.Model, layers)
    for layer in layers:
        if hasattr(layer, "_torch_params"):  # on the torch backend, what `parameters()` lists
            layer._track_variables()


def forget_variables(
    layers: list[keras.layers.Layer], dropped: list[Any], kernels: list[Any]
) -> None:
    """Take variables out of the optimizers of models, with what is remembered of them.

    Else an optimizer's state would not fit that of the plain model, and Keras would skip it when
    it loads the model from a file. Where averages are kept (``use_ema``), they begin anew with the
    folded kernels: W's mean something else.
    """
    for layer in layers:
        if _has_built_optimizer(layer):
            for optimizer in inner_optimizers(layer.optimizer):
                _forget(optimizer, {id(v) for v in dropped}, {id(v) for v in kernels})


def _forget(optimizer: Any, dropped: set[int], kernels: set[int]) -> None:
    trained = list(optimizer._trainable_variables)
    positions = [i for i, variable in enumerate(trained) if id(variable) in dropped]
    averages = getattr(optimizer, "_model_variables_moving_average", [])
    for variable, average in zip(trained, averages, strict=False):
        if average is not None and id(variable) in kernels:
            average.assign(keras.ops.convert_to_numpy(variable.value))
    if not positions:
        return
    # What is remembered is in lists, a variable (or None) for each that is trained.
    for remembered in _lists_of_variables(optimizer, len(trained)):
        for position in reversed(positions):
            optimizer._tracker.untrack(remembered[position])
            del remembered[position]
    kept = [variable for i, variable in enumerate(trained) if i not in positions]
    vars(optimizer)["_trainable_variables"] = kept  # as Keras sets it, not to be tracked
    indices = optimizer._trainable_variables_indices
    for variable in trained:
        del indices[optimizer._var_key(variable)]
    for index, variable in enumerate(kept):
        indices[optimizer._var_key(variable)] = index


def _lists_of_variables(optimizer: Any, count: int) -> list[list[Any]]:
    apart = ("_variables", "_trainable_variables")
    return [
        held
        for name, held in vars(optimizer).items()
        if isinstance(held, list) and len(held) == count and name not in apart
        if all(each is None or isinstance(each, keras.Variable) for each in held)
    ]
