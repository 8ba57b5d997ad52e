"""One layer back to its plain form."""

from __future__ import annotations

from typing import Any

from doconv_core import fold_kernel, messages
from doconv_gluon.layers.arrays import has_values, read_D, read_W, write_W
from doconv_gluon.layers.copying import clear_cached_graphs, copy_model
from doconv_gluon.model.training import retire


def why_not_foldable(layer: Any) -> str:
    """Why the plain form of an over-parameterized layer cannot be computed; "" where it can."""
    if "host" not in vars(type(layer)):
        return messages.model.OWN_FORWARD
    return "" if has_values(layer) else messages.model.NO_VALUES_YET


def folded_kernel(name: str, layer: Any) -> Any:
    """The canonical kernel of a layer, or those of its experts."""
    return fold_kernel(layer.spec, read_W(layer, layer.spec), read_D(layer), layer=name)


def fold_(layer: Any, kernel: Any) -> None:
    """Make a layer plain, with this kernel."""
    write_W(layer, layer.spec, kernel)
    layer.weight.zero_grad()
    retire(parameter for parameter in (layer.D, layer.W_extra) if parameter is not None)
    layer.restore_()


def folded_copy(layer: Any) -> Any:
    """A copy of one of our layers, made plain."""
    if not layer.is_over_parameterized:
        return copy_model(layer)
    if reason := why_not_foldable(layer):
        raise ValueError(messages.model.cannot_fold("", type(layer).__name__, reason))
    kernel, plain = folded_kernel("", layer), copy_model(layer)
    fold_(plain, kernel)
    clear_cached_graphs(plain)
    return plain
