"""What only the adapter for tf_keras says."""

from __future__ import annotations

from doconv_core.messages.layer import error, named
from doconv_keras.messages import holder_is_fitted, not_built, optimizer_is_built

__all__ = ["cannot_copy", "holder_is_fitted", "holds_otherwise", "keras_3", "made_outside",
           "not_built", "optimizer_is_built", "rebuilt_otherwise"]  # fmt: skip


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


def cannot_copy(kind: str, fault: str) -> str:
    return error(
        f"the {kind} cannot be copied: tf_keras must rebuild all of it from its config",
        {"fault": fault},
        "Pass inplace=True to change the model itself.",
    )


def rebuilt_otherwise(layer: str, kind: str, other: str) -> str:
    return (
        f"{named(layer)}, a {kind}, is a {other} when its holder is made anew; what was put in its "
        "place is not in the holder's get_config()"
    )


def holds_otherwise(model: str, count: int, other: int) -> str:
    return (
        f"{named(model)} has {count} layers in it, and {other} when it is made anew; "
        "the rest is not in its get_config()"
    )
