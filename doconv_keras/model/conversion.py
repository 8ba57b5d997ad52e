"""What convert counts before it changes anything."""

from __future__ import annotations

from math import prod
from typing import Any

from doconv_core import messages
from doconv_core.model.planning import Candidate
from doconv_keras.layers.nesting import Layer
from doconv_keras.model.walk import FamilyOf


def added_by(
    family_of: FamilyOf, chosen: list[Candidate], model: Layer, D_mul: int | str | None
) -> tuple[int, int, str]:
    """How many numbers D and W_extra will have; how many the model has; which layer gets most.

    Raises:
        ValueError: D_mul is too small for a layer, or a layer is not built.
    """
    added = {each.names[0]: _added(family_of, each, D_mul) for each in chosen}
    parameters = sum(map(_size, model.variables))
    return sum(added.values()), parameters, max(added, key=lambda name: added[name], default="")


def _size(variable: Any) -> int:
    """Its numbers; of tf_keras's tables and of what grows as it is adapted, 0."""
    shape = tuple(getattr(variable, "shape", (None,)))
    return 0 if None in shape else prod(shape)


def _added(family_of: FamilyOf, candidate: Candidate, D_mul: int | str | None) -> int:
    layer: Any = candidate.layer
    if not layer.built:
        kind = type(layer).__name__
        raise ValueError(messages.model.uninitialized(candidate.names[0], kind))
    family = family_of(layer)
    assert family is not None  # of what the walk has found
    spec = family.converted_spec(layer, D_mul)
    return prod(spec.D_shape) + spec.extra_columns * prod(spec.W_shape[:-1])
