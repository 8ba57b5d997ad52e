"""One layer back to its plain form."""

from __future__ import annotations

from typing import Any

from doconv_core import fold_kernel, messages
from doconv_gluon.layers.arrays import clear_gradient, has_values, read_D, read_W, write_W
from doconv_gluon.layers.copying import clear_cached_graphs, copied


def why_not_foldable(layer: Any) -> str:
    """Why the plain form of an over-parameterized layer cannot be computed; "" where it can."""
    if "host" not in vars(type(layer)):
        return messages.model.OWN_FORWARD
    return "" if has_values(layer) else messages.model.NO_VALUES_YET


def folded_kernel(layer: Any, name: str = "") -> Any:
    """The canonical kernel of a layer, or those of its experts.

    Raises:
        ValueError: an array is not finite.
    """
    return fold_kernel(layer.spec, read_W(layer, layer.spec), read_D(layer), layer=name)


def restore_(layer: Any, kernel: Any) -> None:
    """Make a layer plain, with this kernel."""
    write_W(layer, layer.spec, kernel)
    clear_gradient(layer.weight)
    layer.restore_()


def folded_copy(block: Any, *parts: str) -> Any:
    """A copy of one of our blocks, made plain.

    Args:
        block: a layer, or a block of them.
        parts: the names of its layers; none of a layer.
    """
    plain = copied(block)
    for name in parts or ("",):
        layer = getattr(plain, name) if name else plain
        if not getattr(layer, "is_over_parameterized", False):
            continue
        if reason := why_not_foldable(layer):
            raise ValueError(messages.model.cannot_fold(name, type(layer).__name__, reason))
        restore_(layer, folded_kernel(layer, name))
    clear_cached_graphs(plain)
    return plain
