"""Copies of layers and models that share nothing with the original."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.functional import Functional  # which tf_keras does not export
from tf_keras.src.saving.serialization_lib import SafeModeScope  # nor this

from doconv_keras.layers.copying import (
    Framework,
    check_saves_the_same,
    copy_attributes,
    custom_objects,
    load_what_it_saves,
    pairs_of_variables,
)
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.nesting import everything
from doconv_tf_keras.tensors.initialization import made_where, name_scope, random_state_kept, uncast

GRAPHS = (Functional, tf_keras.Sequential)


@random_state_kept()
def copied(model: Any) -> Any:
    """A copy of a layer or model: same classes, names, flags and values, but not compiled.

    An optimizer belongs to the variables it was built for, so a copy has none.

    Raises:
        ValueError: tf_keras cannot rebuild it from its config, or rebuilds another one, or a
            layer's ``call`` is replaced, or penalties were added to it.
    """
    try:
        scope = made_where(model.weights[0]) if model.weights else nullcontext()
        known = tf_keras.saving.custom_object_scope(_custom_objects(model))
        # Safe mode guards against code in a file; this config never left the process.
        with scope, known, SafeModeScope(False):
            clone = _rebuilt(model)
        _make_alike(model, clone)
    except Exception as error:
        fault = str(error) or type(error).__name__
        kind = type(model).__name__
        raise ValueError(tf_keras_messages.cannot_copy(kind, fault)) from error
    return clone


def _rebuilt(model: Any) -> Any:
    """From its config; a graph layer by layer, as its config (2.21) forgets what is shared."""
    rebuilt: dict[int, Any] = {}

    def once(layer: Any) -> Any:
        if id(layer) not in rebuilt:
            if type(layer) in GRAPHS and layer.built:
                made = tf_keras.models.clone_model(layer, clone_function=once)
            else:
                made = type(layer).from_config(layer.get_config())
            rebuilt[id(layer)] = made
        return rebuilt[id(layer)]

    clone = once(model)
    if model.built and not clone.built:
        # A model's layers name their variables themselves.
        named = model.weights and not isinstance(model, tf_keras.Model)
        with tf.name_scope(name_scope(model.weights[0])) if named else nullcontext():
            clone.build_from_config(model.get_build_config())
    return clone


def _custom_objects(model: tf_keras.layers.Layer) -> dict[str, Any]:
    held = (
        value
        for layer in everything(model)
        for value in (layer, *(v for k, v in vars(layer).items() if not k.startswith("_")))
    )

    def names(value: Any) -> set[str]:
        # A wrapper, such as TimeDistributed, looks by the bare name (tf_keras 2.21).
        return {tf_keras.saving.get_registered_name(value), value.__name__}

    return custom_objects(held, names, "tf_keras.")


def _make_alike(model: Any, clone: Any) -> None:
    """Give a clone, and what it holds, the classes, names, flags and values of a model."""
    held, remade = everything(model), everything(clone)
    if len(held) != len(remade):
        raise ValueError(tf_keras_messages.holds_otherwise(model.name, len(held), len(remade)))
    pairs = list(zip(held, remade, strict=True))
    for ours, theirs in pairs:
        # What a layer of the user's own has made, it makes anew as it was before conversion.
        if hasattr(ours, "remake_"):
            ours.remake_(theirs)
        if type(ours) is not type(theirs):
            kinds = type(ours).__name__, type(theirs).__name__
            raise ValueError(tf_keras_messages.remade_otherwise(ours.name, *kinds))
        theirs._name = ours.name  # one that nobody gave has another number
        theirs.trainable = ours.trainable  # also sets what it holds, which comes later
    for ours, theirs in pairs:
        if isinstance(theirs, Functional):
            _rename_graph(ours, theirs)
    for ours, theirs in pairs:
        load_what_it_saves(TF_KERAS, ours, theirs)
    for ours, theirs in pairs_of_variables(model, clone):
        for one, other in zip(_single(ours), _single(theirs), strict=True):
            other._handle_name = one.name
    clone.set_weights(model.get_weights())
    for ours, theirs in pairs:
        copy_attributes(TF_KERAS, ours, theirs)
    for ours, theirs in pairs:
        check_saves_the_same(TF_KERAS, ours, theirs)
        # Those of add_loss() close over the original's variables.
        counts = len(ours._callable_losses), len(theirs._callable_losses)
        if counts[0] != counts[1]:
            raise ValueError(tf_keras_messages.has_other_losses(ours.name, *counts))


def _rename_graph(ours: Functional, theirs: Functional) -> None:
    """A functional model knows its nodes, inputs and outputs by its layers' names."""
    theirs._network_nodes = {
        f"{node.layer.name}_ib-{node.layer._inbound_nodes.index(node)}"
        for nodes in theirs._nodes_by_depth.values()
        for node in nodes
    }
    for names in ("input_names", "output_names", "_feed_input_names"):
        if hasattr(ours, names):
            setattr(theirs, names, list(getattr(ours, names)))


def _single(variable: Any) -> tuple[Any, ...]:
    """A variable, or those that a distributed one has on its devices; a table has no name."""
    if not hasattr(variable, "name"):
        return ()
    return tuple(getattr(uncast(variable), "values", None) or (uncast(variable),))


@cache
def _bookkeeping() -> frozenset[str]:
    """Also what compile() makes, for a copy is not compiled, and a graph's ids of its tensors."""
    model, x = tf_keras.Model(name="any"), tf_keras.Input((1,), name="any")
    model.compile()
    return frozenset((*vars(model), *vars(tf_keras.Model(x, x, name="any"))))


TF_KERAS = Framework(
    tf_keras.layers.Layer,
    tf.Variable,
    tf.is_tensor,
    lambda value: value.numpy() if tf.is_tensor(value) else value,
    tf.convert_to_tensor,
    _bookkeeping,
)
