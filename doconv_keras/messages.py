"""What both Keras adapters say."""

from __future__ import annotations

from doconv_core.messages.layer import error, named

RECURRENT = "it is recurrent: its kernels are those of a cell, which has no DO-Conv form"


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


def has_other_variables(model: str, count: int, other: int) -> str:
    return (
        f"{model!r} has {count} variables, and {other} when it is made anew; "
        "the rest is made outside of __init__ and build"
    )


def has_other_variable(variable: str, kind: str, other: str) -> str:
    return f"the variable {variable!r} is {kind}, and {other} when its layer is made anew"


def belongs_to_it(layer: str, what: str) -> str:
    return f"{named(layer)} has a function of its own as {what!r}, which would act on it still"


def has_other_losses(layer: str, count: int, other: int) -> str:
    return (
        f"{named(layer)} has {count} penalties, and {other} when it is made anew; the rest was "
        "given to add_loss() as functions"
    )


def loads_otherwise(layer: str, what: str) -> str:
    return f"{named(layer)} does not load {what!r} as it has saved it"


def file_of_plain(layer: str) -> str:
    return error(
        f"the file must have the arrays of {named(layer)}",
        {"arrays": 0},
        "In a .weights.h5 file of the plain model layers are called otherwise: load it into the "
        "plain model, then convert().",
    )


def made_outside(layer: str) -> str:
    return error(
        f"D must be made where the kernel of {named(layer)} was",
        {"kernel": "made outside of this distribution strategy's scope"},
        "Call convert(inplace=True) outside of the scope, or build the model within it.",
    )


def changed_from_within(model: str, fault: str) -> str:
    return error(
        f"the model {model!r} cannot be changed from within a function that is being traced, or "
        "run by each replica",
        {"fault": fault},
        "Call this outside of tf.function, jax.jit and a distribution strategy's run().",
    )
