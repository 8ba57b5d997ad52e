"""Keeping a changed model together with its optimizer, and with what was traced of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras

from doconv_keras.model import training
from doconv_keras.model.training import inner_optimizers

Legacy = tf_keras.optimizers.legacy.Optimizer


def _optimizers(layer: tf_keras.layers.Layer) -> list[Any]:
    optimizer = getattr(layer, "optimizer", None) if isinstance(layer, tf_keras.Model) else None
    return [] if optimizer is None else inner_optimizers(optimizer)


def _has_built_optimizer(layer: tf_keras.layers.Layer) -> bool:
    # The legacy ones take each variable as it comes, and so D too.
    return any(getattr(optimizer, "_built", False) for optimizer in _optimizers(layer))


refuse_built_optimizer = partial(training.refuse_built_optimizer, _has_built_optimizer)
warn_if_not_trained = partial(training.warn_if_not_trained, _has_built_optimizer)
forget_traces = partial(training.forget_traces, tf_keras.Model)


def forget_variables(
    layers: list[tf_keras.layers.Layer], dropped: list[Any], kernels: list[Any]
) -> None:
    """Take variables out of the optimizers of models, with what is remembered of them.

    Else an optimizer's state, in a file or a checkpoint, would not fit that of the plain model.
    Where averages are kept (``use_ema``), they begin anew with the folded kernels: W's mean
    something else.
    """
    for optimizer in {id(each): each for layer in layers for each in _optimizers(layer)}.values():
        if isinstance(optimizer, Legacy):
            _forget_slots(optimizer, dropped)
        elif "_index_dict" in vars(optimizer):  # which is the inner one's, and there once built
            _forget(optimizer, dropped, kernels)


def _forget(optimizer: Any, dropped: list[Any], kernels: list[Any]) -> None:
    index = dict(optimizer._index_dict)
    if averages := list(getattr(optimizer, "_model_variables_moving_average", [])):
        for kernel in kernels:
            if (key := optimizer._var_key(kernel)) in index:
                averages[index[key]].assign(kernel)
    positions = {index.pop(key, None) for key in map(optimizer._var_key, dropped)} - {None}
    if not positions:
        return
    # What is remembered is in lists, a variable for each that is trained. They are made anew, as
    # TensorFlow saves no list that something was deleted from.
    forgotten: set[int] = set()
    for name, held in _lists_of_variables(optimizer, len(index) + len(positions)).items():
        forgotten |= {id(held[position]) for position in positions}
        setattr(optimizer, name, [each for i, each in enumerate(held) if i not in positions])
    optimizer._variables = [each for each in optimizer._variables if id(each) not in forgotten]
    optimizer._index_dict = {key: i for i, key in enumerate(sorted(index, key=index.__getitem__))}
    vars(optimizer).pop("_coalesced_children", None)  # what it has told a checkpoint before


def _lists_of_variables(optimizer: Any, count: int) -> dict[str, list[Any]]:
    return {
        name: held
        for name, held in vars(optimizer).items()
        if isinstance(held, list) and len(held) == count and name != "_variables"
        if all(isinstance(each, tf.Variable) for each in held)
    }


def _forget_slots(optimizer: Any, dropped: list[Any]) -> None:
    gone = [optimizer._slots.pop(variable._unique_id, {}) for variable in dropped]
    forgotten = {id(slot) for slots in gone for slot in slots.values()}
    optimizer._weights = [each for each in optimizer._weights if id(each) not in forgotten]
