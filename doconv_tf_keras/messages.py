"""What only the adapter for tf_keras says."""

from __future__ import annotations

from functools import partial

from doconv_core.messages.layer import error
from doconv_keras import messages
from doconv_keras.messages import (
    RECURRENT,
    belongs_to_it,
    changed_from_within,
    has_other_losses,
    has_other_variables,
    holder_is_fitted,
    holds_otherwise,
    loads_otherwise,
    made_outside,
    not_built,
    optimizer_is_built,
    remade_otherwise,
)

__all__ = [
    "LOADED",
    "RECURRENT",
    "belongs_to_it",
    "cannot_copy",
    "changed_from_within",
    "has_other_losses",
    "has_other_variables",
    "holder_is_fitted",
    "holds_otherwise",
    "keras_3",
    "loads_otherwise",
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


cannot_copy = partial(messages.cannot_copy, "tf_keras")
