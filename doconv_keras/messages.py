"""What both Keras adapters say."""

from __future__ import annotations

from doconv_core.messages.layer import error, named


def not_built(layer: str, kind: str) -> str:
    return error(
        f"cannot fold {named(layer)}: it must be built",
        {"type": kind},
        "Run one batch through the model first, then fold().",
    )


def optimizer_is_built(model: str) -> str:
    return error(
        "convert(inplace=True) must come before the optimizer is built",
        {"model": model},
        "This one lists the plain model's variables and would not train D: "
        "compile() the model anew and convert before fit(), or convert a copy.",
    )


def holder_is_fitted(model: str) -> str:
    return (
        f"The model {model!r} holds layers that were changed in place, and its optimizer, built "
        "before, does not know their new variables: compile() it anew before its next fit()."
    )


def cannot_copy(library: str, kind: str, fault: str) -> str:
    return error(
        f"the {kind} cannot be copied: {library} must rebuild all of it from its config",
        {"fault": fault},
        "Pass inplace=True to change the model itself.",
    )


def remade_otherwise(layer: str, kind: str, other: str) -> str:
    return (
        f"{named(layer)}, a {kind}, is a {other} when its holder is made anew; what was put in its "
        "place is not in the holder's get_config()"
    )


def holds_otherwise(layer: str, count: int, other: int) -> str:
    return (
        f"{named(layer)} holds {count} layers, and {other} when it is made anew; "
        "the rest is not in its get_config()"
    )


def changed_from_within(model: str, fault: str) -> str:
    return error(
        f"the model {model!r} cannot be changed from within a function that is being traced, or "
        "run by each replica",
        {"fault": fault},
        "Call this outside of tf.function, jax.jit and a distribution strategy's run().",
    )
