"""Which layers can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import keras

from doconv_core import CondConvSpec, DOConvSpec, messages
from doconv_tf.layers.condconv import CondConvBase
from doconv_tf.layers.hosts import HOSTS, why_plain
from doconv_tf.layers.nesting import children, everything, paths


class Convolution(NamedTuple):
    """A convolution (or CondConv layer) of a model: its names, and why convert leaves it."""

    names: list[str]
    layer: keras.layers.Layer
    reason: str


def convolutions(root: keras.layers.Layer) -> list[Convolution]:
    """Every convolution of a model once, over-parameterized or not, in the model's order."""
    recomputed = {
        id(child)
        for holder in everything(root)
        if isinstance(holder, keras.layers.SpectralNormalization)
        for child in children(holder)
    }
    found: dict[int, Convolution] = {}
    for name, layer in paths(root):
        if not isinstance(layer, (*HOSTS, CondConvBase)):
            continue
        reason = messages.model.RECOMPUTED_WEIGHT if id(layer) in recomputed else why_plain(layer)
        found.setdefault(id(layer), Convolution([], layer, reason)).names.append(name)
    return list(found.values())


def is_over_parameterized(layer: keras.layers.Layer) -> bool:
    """Whether fold has something to do, once the layer is built."""
    return bool(getattr(layer, "is_over_parameterized", False))


def over_parameterized_spec(
    layer: keras.layers.Layer, D_mul: int | None
) -> DOConvSpec | CondConvSpec:
    """The sizes that a plain layer has when over-parameterized.

    Raises:
        ValueError: D_mul is too small.
    """
    if isinstance(layer, CondConvBase):
        return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)
    return HOSTS[type(layer)].read_spec(layer, D_mul)
