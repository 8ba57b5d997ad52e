"""The layers of a model that convert, fold, summary and states are about.

``family_of`` is the adapter's: whose a layer is, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from doconv_core import messages
from doconv_core.model.family import Family
from doconv_core.model.planning import Candidate
from doconv_keras.layers.nesting import Layer, children, everything, named_layers, paths

FamilyOf = Callable[[Any], Family | None]


def candidates(family_of: FamilyOf, recomputing: type, model: Layer) -> list[Candidate]:
    """Every layer that convert considers, once, with all its names, in the model's order.

    Args:
        family_of: the adapter's.
        recomputing: the class of layers that compute the weight of the layer they hold anew.
        model: any layer or model.
    """
    recomputed = {
        id(child)
        for holder in everything(model)
        if isinstance(holder, recomputing)
        for child in children(holder)
    }
    # A block may hold a layer that it never calls, and one batch more would not build it.
    never_called = {
        id(layer)
        for holder in everything(model)
        if holder.built
        for child in children(holder)
        if not child.built
        for layer in everything(child)
    }
    found: dict[int, Candidate] = {}
    for name, layer in paths(model):
        if id(layer) not in found:
            family = family_of(layer)
            if family is None:
                continue
            done = family.is_over_parameterized(layer)
            reason = "" if done else family.why_plain(layer)
            if id(layer) in recomputed:
                reason = messages.model.RECOMPUTED_WEIGHT
            if not reason and id(layer) in never_called:
                reason = messages.model.NEVER_CALLED
            found[id(layer)] = Candidate([], layer, reason, done, prod(layer.kernel_size))
        found[id(layer)].names.append(name)
    return list(found.values())


def layers(family_of: FamilyOf, model: Layer) -> Iterator[tuple[str, Any]]:
    """Every layer of ours, once, with the first of its names: what a neutral state holds."""
    for name, layer in named_layers(model).items():
        family = family_of(layer)
        if family is not None and family.holds(layer):
            yield name, layer


def over_parameterized(family_of: FamilyOf, model: Layer) -> list[tuple[str, Any]]:
    """Those that fold changes."""
    found = [(name, layer, family_of(layer)) for name, layer in layers(family_of, model)]
    return [
        (name, layer)
        for name, layer, family in found
        if family is not None and family.is_over_parameterized(layer)
    ]
