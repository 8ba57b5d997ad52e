"""Copies of layers and models that share nothing with the original.

Keras can make a layer anew from its config; :mod:`doconv_keras.layers.copying` has what a copy then
takes over.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import keras
from keras.src.models.functional import Functional  # which Keras does not export

from doconv_keras.layers.copying import (
    Framework,
    check_saves_the_same,
    copy_attributes,
    copy_functions,
    custom_objects,
    load_what_it_saves,
    pairs_of_variables,
)
from doconv_tf import messages as keras_messages
from doconv_tf.layers.nesting import children, everything
from doconv_tf.tensors.initialization import made_where, random_state_kept

GRAPHS = (Functional, keras.Sequential)
MADE_ANEW = ("build", "quantize")
"""Functions that Keras has put on every layer."""


@random_state_kept()
def copied(model: Any) -> Any:
    """A copy of a layer or model: same classes, names, flags and values, but not compiled.

    An optimizer belongs to the variables it was built for, so a copy has none. Objects that a
    layer of the user's own keeps are as its constructor makes them, unless it saves and loads them
    (``save_own_variables``, ``save_assets``); containers of plain values are copied.

    Raises:
        ValueError: Keras cannot rebuild it from its config (a subclassed model without one, two
            lambdas as activations, ...), or rebuilds another one, or a layer's ``call`` is
            replaced.
    """
    scope = made_where(model.variables[0]) if model.variables else nullcontext()
    try:
        with _uncompiled(model), keras.saving.custom_object_scope(_custom_objects(model)), scope:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*does not have a `build")  # mended in step
                clone = _clone(model)
            pairs = _in_step(model, clone, set())
            _make_alike(pairs)
    except Exception as error:
        fault = str(error) or type(error).__name__
        raise ValueError(keras_messages.cannot_copy(type(model).__name__, fault)) from error
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
    copy_functions(KERAS, layer, clone)  # Keras keeps a lambda's code without its globals
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
    held = (
        value
        for layer in everything(model)
        for value in (layer, *(v for k, v in vars(layer).items() if k not in MADE_ANEW))
    )
    return custom_objects(held, lambda each: [keras.saving.get_registered_name(each)], "keras.")


def _in_step(ours: Any, theirs: Any, seen: set[int]) -> list[tuple[Any, Any]]:
    """Every layer of a model with its clone, holders before what they hold."""
    if id(ours) in seen:
        return []
    seen.add(id(ours))
    # What a layer of the user's own has made, it makes anew as it was before conversion.
    if hasattr(ours, "remake_"):
        ours.remake_(theirs)
    if type(ours) is not type(theirs):
        kinds = type(ours).__name__, type(theirs).__name__
        raise ValueError(keras_messages.remade_otherwise(ours.path or ours.name, *kinds))
    held, remade = children(ours), children(theirs)
    if len(held) != len(remade):
        raise ValueError(
            keras_messages.holds_otherwise(ours.path or ours.name, len(held), len(remade))
        )
    if ours.built and not theirs.built:  # by a layer without a `build` of its own
        theirs.build_from_config(ours.get_build_config())
    # The last one first, each put before the later ones: so a holder comes before what it holds
    # also where a later layer holds that too.
    below: list[tuple[Any, Any]] = []
    for pair in reversed(list(zip(held, remade, strict=True))):
        below = _in_step(*pair, seen) + below
    return [(ours, theirs), *below]


def _make_alike(pairs: list[tuple[Any, Any]]) -> None:
    """Give clones the names, flags, values and assets of the originals."""
    for ours, theirs in pairs:
        theirs.name = ours.name  # one that nobody gave has another number
        theirs._path, theirs._parent_path = ours._path, ours._parent_path
        theirs.trainable = ours.trainable  # also sets what it holds, which comes later
        theirs.autocast = ours.autocast
        if "_remat_mode" in vars(ours):  # of the scope it was made in, which Keras 3.15 has
            theirs._remat_mode = ours._remat_mode
        for names in ("input_names", "output_names"):  # of a functional model
            if names in vars(ours):
                setattr(theirs, names, list(getattr(ours, names)))
    for ours, theirs in pairs:
        load_what_it_saves(KERAS, ours, theirs)
    _copy_variables(*pairs[0])
    for ours, theirs in pairs:
        copy_attributes(KERAS, ours, theirs)
        if hasattr(theirs, "_torch_params"):  # which has the variables by their paths
            theirs._track_variables()
    for ours, theirs in pairs:
        check_saves_the_same(KERAS, ours, theirs)


def _copy_variables(model: Any, clone: Any) -> None:
    for ours, theirs in pairs_of_variables(model, clone):
        # Through NumPy: on jax a variable would otherwise share the original's buffer.
        theirs.assign(_to_numpy(ours))
        theirs.trainable = ours.trainable
        theirs._name, theirs._path = ours.name, ours.path
        for name in ("regularizer", "constraint"):  # which a user may have set on it
            if not _say_the_same(value := getattr(ours, name), getattr(theirs, name)):
                setattr(theirs, name, value)


def _say_the_same(one: Any, other: Any) -> bool:
    """Whether a regularizer or constraint is the other, or made anew from its config."""
    try:
        return one is other or (
            type(one) is type(other) and bool(one.get_config() == other.get_config())
        )
    except (AttributeError, NotImplementedError, ValueError):  # a function; arrays
        return False


def _to_numpy(value: Any) -> Any:
    if isinstance(value, keras.Variable):
        # Of the value: Keras 3.15's Variable lacks what NumPy 2 asks of __array__.
        value = value.value
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value


@cache
def _bookkeeping() -> frozenset[str]:
    """Also a graph's ids of its tensors, and what keras-hub compiles when a model generates."""
    x = keras.Input((1,), name="any")
    graph = vars(keras.Model(x, x, name="any"))
    return frozenset((*vars(keras.Model(name="any")), *graph, "generate_function"))


KERAS = Framework(
    keras.layers.Layer,
    keras.Variable,
    keras.ops.is_tensor,
    _to_numpy,
    keras.ops.convert_to_tensor,
    _bookkeeping,
)
