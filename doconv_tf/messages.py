"""What only Keras's adapter says."""

from __future__ import annotations

from functools import partial

from doconv_core.messages.layer import error, named
from doconv_keras import messages
from doconv_keras.messages import (
    RECURRENT,
    changed_from_within,
    holder_is_fitted,
    holds_otherwise,
    made_outside,
    not_built,
    optimizer_is_built,
    remade_otherwise,
)

__all__ = [
    "LOADED_OR_WRAPPED",
    "LORA",
    "RECURRENT",
    "cannot_copy",
    "changed_from_within",
    "holder_is_fitted",
    "holds_otherwise",
    "legacy_keras",
    "made_outside",
    "no_lora",
    "not_built",
    "optimizer_is_built",
    "remade_otherwise",
]

LORA = "LoRA has frozen its kernel"
LOADED_OR_WRAPPED = "a loaded SavedModel or a wrapped module"


def legacy_keras(kind: str) -> str:
    return error(
        "doconv_tf works on Keras 3, not on the legacy tf_keras (or tf.keras before 2.16)",
        {"type": kind},
        "Import the same names from doconv_tf_keras instead.",
    )


def no_lora(layer: str, kind: str) -> str:
    return error(
        f"cannot enable LoRA on {named(layer)}",
        {"type": kind},
        "LoRA freezes the kernel that D over-parameterizes: fold() first, then enable it.",
    )


cannot_copy = partial(messages.cannot_copy, "Keras")
