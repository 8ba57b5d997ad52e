"""Layers that have one weight, wherever they are, and so one D.

Gluon shares parameters between networks by ``params=``. A kernel is made of W and D, so who has the
one must have the other.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

_users: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


def note(layer: Any) -> None:
    """Remember that a layer over-parameterizes its weight."""
    _users.setdefault(layer.weight, WeakSet()).add(layer)


def users(weight: Any) -> list[Any]:
    """The layers that over-parameterize a weight."""
    known = _users.get(weight, ())
    return [layer for layer in known if _converted(layer) and layer.weight is weight]


def other_users(layers: Iterable[Any]) -> dict[int, list[Any]]:
    """By each layer's id, those beside all these that over-parameterize its weight."""
    layers = list(layers)
    known = {id(layer) for layer in layers}

    def others() -> dict[int, list[Any]]:
        found = {}
        for layer in layers:
            found[id(layer)] = [each for each in users(layer.weight) if id(each) not in known]
        return found

    if any(others().values()):
        gc.collect()  # blocks refer to each other, so those of a deleted network are still there
    return others()


def parameters_of(layer: Any) -> dict[str, Any]:
    """D and W_extra, by name."""
    own = {name: getattr(layer, name) for name in ("D", "W_extra")}
    return {name: parameter for name, parameter in own.items() if parameter is not None}


def is_shared_from_outside(layer: Any, inside: set[int]) -> bool:
    """Whether a plain layer got its weight by ``params=`` from what is not in its model.

    Args:
        layer: one of Gluon's.
        inside: the ids of the model's own dictionaries of parameters.
    """
    shared = getattr(layer.params, "_shared", None)
    return shared is not None and id(shared) not in inside and layer.weight.name in shared


def _converted(layer: Any) -> bool:
    return bool(getattr(layer, "is_over_parameterized", False))  # folded, it is the host's again
