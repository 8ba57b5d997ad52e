"""What only Keras's adapter says."""

from __future__ import annotations

from doconv_core.messages.layer import error, named

LORA = "LoRA has frozen its kernel"


def legacy_keras(kind: str) -> str:
    return error(
        "doconv_tf works on Keras 3, not on the legacy tf_keras (or tf.keras before 2.16)",
        {"type": kind},
        "Build the model with Keras 3 (`import keras`) and give it the weights of this one.",
    )


def no_lora(layer: str, kind: str) -> str:
    return error(
        f"cannot enable LoRA on {named(layer)}",
        {"type": kind},
        "LoRA freezes the kernel that D over-parameterizes: fold() first, then enable it.",
    )


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


def cannot_copy(kind: str, fault: str) -> str:
    return error(
        "the model must be one that Keras can clone",
        {"type": kind, "fault": fault},
        "Pass inplace=True to change the model itself.",
    )
