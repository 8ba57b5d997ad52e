"""Layers back to their plain form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from doconv_core import messages
from doconv_core.model.folding import fold_layers
from doconv_keras.layers.arrays import ToNumPy, folded_kernel
from doconv_keras.layers.nesting import Layer, everything
from doconv_keras.messages import not_built
from doconv_keras.tensors.composition import Ops


def why_not_foldable(layer: Any) -> str:
    """Why a layer of ours has no plain form; "" where it has."""
    return "" if "host" in vars(type(layer)) else messages.model.OWN_FORWARD


def check_foldable(name: str, layer: Any) -> None:
    """Raise ValueError where the plain form of a layer of ours cannot be computed."""
    kind = type(layer).__name__
    if reason := why_not_foldable(layer):
        raise ValueError(messages.model.cannot_fold(name, kind, reason))
    if not layer.built:
        raise ValueError(not_built(name, kind))


def fold_(ops: Ops, to_numpy: ToNumPy, layers: Iterable[tuple[str, Any]]) -> int:
    """Make over-parameterized layers, each with its name, plain: all of them or none."""
    return fold_layers(
        layers,
        lambda each: folded_kernel(to_numpy, *each),
        lambda each, kernel: _restore_(ops, each[1], kernel),
    )


def folded_copy(
    copied: Callable[[Layer], Layer], fold_: Callable[[list[tuple[str, Any]]], int], layer: Layer
) -> Layer:
    """A copy of one of our layers, in which it and what it holds are plain."""

    def over_parameterized(root: Any) -> list[tuple[str, Any]]:
        held = [each for each in everything(root) if getattr(each, "is_over_parameterized", False)]
        return [("" if each is root else each.name, each) for each in held]

    for name, each in over_parameterized(layer):
        check_foldable(name, each)
    plain = copied(layer)
    fold_(over_parameterized(plain))
    return plain


def _restore_(ops: Ops, layer: Any, kernel: Any) -> None:
    W = layer._kernel
    for dropped in (layer.D, layer.W_extra):
        if dropped is not None:  # whoever still composes with it composes this kernel
            dropped.assign(ops.zeros(dropped.shape, dropped.dtype))
    layer.restore_()
    W.assign(kernel)
