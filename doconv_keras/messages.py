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
