"""What only Keras's adapter says."""

from __future__ import annotations

from doconv_core.messages.layer import error, named
from doconv_keras.messages import holder_is_fitted, not_built, optimizer_is_built

__all__ = ["LORA", "cannot_copy", "holder_is_fitted", "legacy_keras", "no_lora", "not_built",
           "optimizer_is_built"]  # fmt: skip

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


def cannot_copy(kind: str, fault: str) -> str:
    return error(
        "the model must be one that Keras can clone",
        {"type": kind, "fault": fault},
        "Pass inplace=True to change the model itself.",
    )
