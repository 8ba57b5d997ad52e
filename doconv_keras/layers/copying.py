"""What a copy of a layer, made anew from its config, takes over from the original.

Keras knows how each layer saves and loads itself; what that and the config forget is copied here,
and what is still different then is an error: a copy that computes something else would go
unnoticed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from filecmp import cmpfiles
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from doconv_keras import messages
from doconv_keras.layers.functions import FUNCTIONS, are_alike, brings
from doconv_keras.layers.nesting import Layer, call_is_replaced

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
CONTAINERS = (list, tuple, dict, set, frozenset)


class Framework(NamedTuple):
    """What a framework's layers hold.

    Attributes:
        layer: the class of all layers.
        variable: that of all variables.
        is_tensor: whether a value is a tensor.
        to_numpy: of a variable or tensor; anything else as it is.
        to_tensor: of an array.
        bookkeeping: the attributes that every layer, model or graph has: the framework's own
            record of it, which a copy has of its own.
    """

    layer: type[Any]
    variable: type[Any]
    is_tensor: Callable[[Any], bool]
    to_numpy: Callable[[Any], Any]
    to_tensor: Callable[[Any], Any]
    bookkeeping: Callable[[], frozenset[str]]


def custom_objects(
    values: Iterable[Any], names: Callable[[Any], Iterable[str]], own: str
) -> dict[str, Any]:
    """By the names under which a framework looks for them.

    Args:
        values: the layers of a model, and what they hold.
        names: those by which the framework looks for a class or function.
        own: how the names of the framework's modules begin. It finds its own by these; by name
            `layers.Add` would be taken for the operation of a "+".
    """
    found: dict[str, set[Any]] = {}
    for value in values:
        if hasattr(type(value), "get_config"):
            value = type(value)
        elif not isinstance(value, types.FunctionType):
            continue
        if not value.__module__.startswith(own):
            for name in names(value):
                found.setdefault(name, set()).add(value)
    # Two of one name (lambdas) would be mistaken for each other: leave them to the host's error.
    return {name: objects.pop() for name, objects in found.items() if len(objects) == 1}


def load_what_it_saves(of: Framework, ours: Layer, theirs: Layer) -> None:
    """Let a layer take over what is no variable, or follows from one, in its own way."""
    if _saves_in_its_own_way(of, ours):
        theirs.load_own_variables(_saved_variables(of, ours))
    if hasattr(ours, "save_assets"):
        with TemporaryDirectory() as folder:
            ours.save_assets(folder)
            theirs.load_assets(folder)


def check_saves_the_same(of: Framework, ours: Layer, theirs: Layer) -> None:
    """Raise ValueError where a layer that saves in its own way would save something else."""
    name = getattr(ours, "path", ours.name)
    if _saves_in_its_own_way(of, ours):
        one, other = _saved_variables(of, ours), _saved_variables(of, theirs)
        for key in one.keys() | other.keys():
            if key not in one or key not in other or not _are_same(one[key], other[key]):
                raise ValueError(messages.loads_otherwise(name, key))
    if hasattr(ours, "save_assets"):
        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            ours.save_assets(one)
            theirs.save_assets(other)
            names = sorted(
                {each.name for folder in (one, other) for each in Path(folder).iterdir()}
            )
            _, different, missing = cmpfiles(one, other, names, shallow=False)
            for file in (*different, *missing):
                raise ValueError(messages.loads_otherwise(name, file))


def pairs_of_variables(model: Layer, clone: Layer) -> list[tuple[Any, Any]]:
    """Every variable of a model with that of its clone.

    Raises:
        ValueError: the clone has others.
    """
    if len(model.variables) != len(clone.variables):
        counts = len(model.variables), len(clone.variables)
        raise ValueError(messages.has_other_variables(getattr(model, "path", model.name), *counts))
    pairs = list(zip(model.variables, clone.variables, strict=True))
    for ours, theirs in pairs:
        if not hasattr(ours, "shape"):  # tf_keras lists a lookup's table too
            continue
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            kinds = f"{ours.shape} {ours.dtype}", f"{theirs.shape} {theirs.dtype}"
            name = getattr(ours, "path", ours.name)
            raise ValueError(messages.has_other_variable(name, *kinds))
    return pairs


def copy_attributes(of: Framework, ours: Layer, theirs: Layer) -> None:
    """What a layer holds beside its variables and its config.

    Plain values, arrays and tensors, functions, and containers of plain values. Objects of other
    classes are as the constructor makes them.

    Raises:
        ValueError: a function belongs to the original.
    """
    copy_functions(of, ours, theirs)
    own, bookkeeping = vars(theirs), of.bookkeeping()
    for name, value in vars(ours).items():
        if name in bookkeeping or isinstance(value, of.variable):
            continue
        if isinstance(value, PLAIN):
            own[name] = value
        elif isinstance(value, np.ndarray):
            own[name] = value.copy()
        elif of.is_tensor(value):
            try:
                array = of.to_numpy(value)
            except Exception:  # a symbol left over from a graph, which is no state
                continue
            there = own.get(name)
            if not (of.is_tensor(there) and _are_same(array, of.to_numpy(there))):
                own[name] = of.to_tensor(array)
        elif (plain := _plain(value)) is not None and plain != _plain(own.get(name)):
            setattr(theirs, name, plain)  # the framework wraps it


def copy_functions(of: Framework, ours: Layer, theirs: Layer) -> None:
    """What was put onto a layer later, or has lost its globals on the way through its config.

    Raises:
        ValueError: a function belongs to the original: its ``call`` was replaced, or the function
            brings a layer or variable along.
    """
    own, bookkeeping = vars(theirs), of.bookkeeping()
    for name, value in vars(ours).items():
        if name in bookkeeping or not (
            call_is_replaced(ours) if name == "call" else isinstance(value, FUNCTIONS)
        ):
            continue
        if are_alike(value, own.get(name), PLAIN):
            continue
        if name == "call" or brings(value, (of.layer, of.variable)):
            raise ValueError(messages.belongs_to_it(getattr(ours, "path", ours.name), name))
        own[name] = value


def _plain(value: Any) -> Any:
    """A container of nothing but plain values, without what wraps it; None for any other."""
    try:
        return _unwrapped(value) if isinstance(value, CONTAINERS) else None
    except TypeError:
        return None


def _unwrapped(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        return {_unwrapped(key): _unwrapped(each) for key, each in value.items()}
    kind = next((each for each in CONTAINERS if isinstance(value, each)), None)
    if kind is None:
        raise TypeError
    return kind(map(_unwrapped, value))


def _saves_in_its_own_way(of: Framework, layer: Layer) -> bool:
    return type(layer).load_own_variables is not of.layer.load_own_variables


def _saved_variables(of: Framework, layer: Layer) -> dict[str, Any]:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {key: of.to_numpy(value) for key, value in store.items()}


def _are_same(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    # Bit by bit, as NaN is no reason to refuse; of strings the bytes are addresses.
    return bool((one == other).all()) if one.dtype.hasobject else one.tobytes() == other.tobytes()
