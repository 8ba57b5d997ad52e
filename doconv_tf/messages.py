"""What only Keras's adapter says."""

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
    "LORA",
    "cannot_copy",
    "changed_from_within",
    "holder_is_fitted",
    "holds_otherwise",
    "legacy_keras",
    "no_lora",
    "not_built",
    "optimizer_is_built",
    "remade_otherwise",
]

LORA = "LoRA has frozen its kernel"
LOADED_OR_WRAPPED = "a loaded SavedModel or a wrapped module"
RECURRENT = "it is recurrent: its kernels are those of a cell, which has no DO-Conv form"


def legacy_keras(kind: str) -> str:
    return error(
        "doconv_tf works on Keras 3, not on the legacy tf_keras (or tf.keras before 2.16)",
        {"type": kind},
        "Import the same names from doconv_tf_keras instead.",
    )


def file_of_plain(layer: str) -> str:
    return error(
        f"the file must have the arrays of {named(layer)}",
        {"arrays": 0},
        "In a .weights.h5 file of the plain model layers are called otherwise: load it into the "
        "plain model, then convert().",
    )


def no_lora(layer: str, kind: str) -> str:
    return error(
        f"cannot enable LoRA on {named(layer)}",
        {"type": kind},
        "LoRA freezes the kernel that D over-parameterizes: fold() first, then enable it.",
    )


def made_outside(layer: str) -> str:
    return error(
        f"D must be made where the kernel of {named(layer)} was",
        {"kernel": "made outside of this distribution strategy's scope"},
        "Call convert(inplace=True) outside of the scope, or build the model within it.",
    )


# --- copies ------------------------------------------------------------------------------


cannot_copy = partial(messages.cannot_copy, "Keras")


def has_other_variables(model: str, count: int, other: int) -> str:
    return (
        f"{model!r} has {count} variables, and {other} when it is made anew; "
        "the rest is made outside of __init__ and build"
    )


def has_other_variable(variable: str, kind: str, other: str) -> str:
    return f"the variable {variable!r} is {kind}, and {other} when its layer is made anew"


def loads_otherwise(layer: str, what: str) -> str:
    return f"{named(layer)} does not load {what!r} as it has saved it"
