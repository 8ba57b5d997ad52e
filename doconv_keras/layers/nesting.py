"""The layers of a model and their names, for what holds layers as Keras's do."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import MethodType
from typing import Any

Layer = Any
"""A layer or model, of Keras 3 or of tf_keras."""


def children(layer: Layer) -> list[Layer]:
    """The layers that a layer holds directly; what ``Model.layers`` is, for any layer."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def everything(root: Layer) -> list[Layer]:
    """A model and all layers in it, each once, holders before what they hold."""
    return list(root._flatten_layers())


def call_is_replaced(layer: Layer) -> bool:
    """Whether ``call`` is replaced on an instance.

    A layer that tf_keras has saved as a SavedModel keeps its class's own there.
    """
    call = vars(layer).get("call")
    return call is not None and call != MethodType(type(layer).call, layer)


def holders(root: Layer, kind: type, record: str) -> list[Layer]:
    """Every living layer or model, compiled or not, that holds a layer of ``root``; ``root`` too.

    Keras knows no way from a layer up to what holds it, so the garbage collector is asked: 0.1 s
    beside TensorFlow. It does not show what ``gc.freeze`` has put aside.

    Args:
        root: a layer or model.
        kind: the class of all layers.
        record: the attribute in which a layer keeps what it holds.
    """
    inside = {id(layer) for layer in everything(root)}
    # By type(): isinstance would also ask proxies, such as lazily imported modules, for a class.
    # A layer whose constructor is still to come, or has failed, holds none.
    living = [
        each for each in gc.get_objects() if issubclass(type(each), kind) and record in vars(each)
    ]
    return [each for each in living if not inside.isdisjoint(map(id, everything(each)))]


def paths(root: Layer) -> Iterator[tuple[str, Layer]]:
    """Every way from the root to a layer: "block/conv", and "" for the root itself.

    A layer that several others hold comes once for each. Names that appear twice within one
    layer are numbered: "conv", "conv_1".
    """
    yield "", root
    yield from _paths_below(root, "", (root,))


def _paths_below(
    layer: Layer, prefix: str, above: tuple[Layer, ...]
) -> Iterator[tuple[str, Layer]]:
    used: set[str] = set()
    for child in children(layer):
        if any(child is holder for holder in above):
            continue  # a layer may hold its own holder
        name, number = child.name, 0
        while name in used:
            number += 1
            name = f"{child.name}_{number}"
        used.add(name)
        yield prefix + name, child
        yield from _paths_below(child, f"{prefix}{name}/", (*above, child))


def named_layers(root: Layer) -> dict[str, Layer]:
    """Each layer once, under the first of its names."""
    first: dict[int, tuple[str, Layer]] = {}
    for name, layer in paths(root):
        first.setdefault(id(layer), (name, layer))
    return dict(first.values())
