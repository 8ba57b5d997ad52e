"""Copies of layers and models that share nothing with the original."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.models.functional import Functional  # which Keras does not export

from doconv_tf import messages as keras_messages
from doconv_tf.layers.nesting import children, everything

GRAPHS = (Functional, keras.Sequential)


def copied(model: Any) -> Any:
    """A copy of a layer or model: same classes, names, flags and values, but not compiled.

    An optimizer belongs to the variables it was built for, so a copy has none.

    Raises:
        ValueError: Keras cannot rebuild it from its config (a subclassed model without one, two
            lambdas as activations, ...).
    """
    try:
        with _uncompiled(model), keras.saving.custom_object_scope(_custom_objects(model)):
            clone = _clone(model)
        _make_alike(model, clone)
    except Exception as error:
        raise ValueError(keras_messages.cannot_copy(type(model).__name__, str(error))) from error
    return clone


def _clone(model: Any) -> Any:
    models = [layer for layer in everything(model) if isinstance(layer, keras.Model)]
    if models and all(type(each) in GRAPHS for each in models):
        return keras.models.clone_model(model, clone_function=_rebuild, recursive=True)
    return _rebuild(model)  # clone_model would change the class of a subclassed functional model


def _rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
    config = keras.saving.serialize_keras_object(layer)
    # Safe mode guards against code in a file; this config never left the process.
    clone = keras.saving.deserialize_keras_object(config, safe_mode=False)
    if hasattr(layer, "output_padding"):  # not in the config before Keras 3.15
        clone.output_padding = layer.output_padding
    return clone


@contextmanager
def _uncompiled(model: keras.layers.Layer) -> Iterator[None]:
    """Keep losses and metrics, which Keras may not be able to rebuild, out of the config."""
    models = [layer for layer in everything(model) if isinstance(layer, keras.Model)]
    compiled = [layer for layer in models if layer.compiled]
    for each in compiled:
        each.compiled = False
    try:
        yield
    finally:
        for each in compiled:
            each.compiled = True


def _custom_objects(model: keras.layers.Layer) -> dict[str, Any]:
    """The classes and functions in use, so that they need not be registered to be copied."""
    found: dict[str, set[Any]] = {}
    for layer in everything(model):
        state = {k: v for k, v in vars(layer).items() if k not in ("build", "quantize")}
        for value in (layer, *state.values()):
            if hasattr(value, "get_config"):
                value = type(value)
            elif not isinstance(value, types.FunctionType):
                continue
            found.setdefault(keras.saving.get_registered_name(value), set()).add(value)
    # Two of one name (lambdas) would be mistaken for each other: leave them to Keras's error.
    return {name: objects.pop() for name, objects in found.items() if len(objects) == 1}


def _make_alike(model: Any, clone: Any) -> None:
    """Give a clone, and what it holds, the classes, flags and values of a model."""
    for ours, theirs in _in_step(model, clone, set()):
        theirs.trainable = ours.trainable  # also sets what it holds, which comes later
        theirs.autocast = ours.autocast
    for ours, theirs in zip(model.variables, clone.variables, strict=True):
        # Through NumPy: on jax a variable would otherwise share the original's buffer.
        theirs.assign(keras.ops.convert_to_numpy(ours.value))
        theirs.trainable = ours.trainable


def _in_step(ours: Any, theirs: Any, seen: set[int]) -> list[tuple[Any, Any]]:
    """Every layer of a model with its clone, holders before what they hold."""
    if id(ours) in seen:
        return []
    seen.add(id(ours))
    if isinstance(theirs, keras.layers.InputLayer):
        theirs.name = ours.name  # clone_model has named it after its tensor
    # What a layer of the user's own has made, it makes anew as it was before conversion.
    if hasattr(ours, "remake_"):
        ours.remake_(theirs)
    if type(ours) is not type(theirs) or ours.name != theirs.name:
        raise ValueError(f"{ours.name!r} is rebuilt as a {type(theirs).__name__}")
    # Backwards, each before those that it holds: so a holder comes before all that it holds, also
    # where what it holds is held by another layer too.
    below: list[tuple[Any, Any]] = []
    for pair in reversed(list(zip(children(ours), children(theirs), strict=True))):
        below = _in_step(*pair, seen) + below
    return [(ours, theirs), *below]
