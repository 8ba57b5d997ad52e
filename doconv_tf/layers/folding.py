"""One layer back to its plain form."""

from __future__ import annotations

from typing import Any

from keras import ops

from doconv_core import messages
from doconv_tf import messages as keras_messages
from doconv_tf.layers.arrays import folded_kernel
from doconv_tf.layers.copying import copy
from doconv_tf.layers.swapping import restore_class


def check_foldable(name: str, layer: Any) -> None:
    """Raise ValueError where the plain form of a layer of ours cannot be computed."""
    kind = type(layer).__name__
    if "host" not in vars(type(layer)):
        raise ValueError(messages.model.cannot_fold(name, kind, messages.model.OWN_FORWARD))
    if not layer.built:
        raise ValueError(keras_messages.not_built(name, kind))


def fold_(layer: Any, kernel: Any) -> None:
    """Make a layer plain, with this kernel."""
    W = layer._kernel
    for dropped in (layer.D, layer.W_extra):
        if dropped is not None:  # whoever still composes with it composes this kernel
            dropped.assign(ops.zeros(dropped.shape, dropped.dtype))
    restore_class(layer)
    W.assign(kernel)


def folded_copy(layer: Any) -> Any:
    """A copy of one of our layers, made plain."""
    if not layer.is_over_parameterized:
        return copy(layer)
    check_foldable("", layer)
    plain = copy(layer)
    fold_(plain, folded_kernel("", plain))
    return plain
