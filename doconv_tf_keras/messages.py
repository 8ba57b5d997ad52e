"""What only the adapter for tf_keras says."""

from __future__ import annotations

from functools import partial

from doconv_core.messages.layer import error, named
from doconv_keras import messages
from doconv_keras.messages import (
    changed_from_within,
    holder_is_fitted,
    holds_otherwise,
    not_built,
    optimizer_is_built,
    remade_otherwise,
)

__all__ = [
    "cannot_copy",
    "changed_from_within",
    "holder_is_fitted",
    "holds_otherwise",
    "keras_3",
    "made_outside",
    "not_built",
    "optimizer_is_built",
    "remade_otherwise",
]

LOADED = "a loaded SavedModel"


def keras_3(kind: str) -> str:
    return error(
        "doconv_tf_keras works on the legacy tf_keras, not on Keras 3",
        {"type": kind},
        "Import the same names from doconv_tf instead.",
    )


def made_outside(layer: str) -> str:
    return error(
        f"D must be made where the kernel of {named(layer)} was",
        {"kernel": "made outside of this distribution strategy's scope"},
        "Call convert outside of the scope, or build the model within it.",
    )


cannot_copy = partial(messages.cannot_copy, "tf_keras")
