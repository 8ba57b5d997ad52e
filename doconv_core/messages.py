"""Every sentence the user may read, once, for all frameworks.

An error says the rule, what was received, and what to do:
"`groups` must divide `in_channels`. Received: groups=3, in_channels=4. ...".
A reason says, in a summary row, why a convolution was left as it was.
"""

from __future__ import annotations

from typing import Any


def error(rule: str, received: dict[str, Any], advice: str = "") -> str:
    """One error sentence in the form that every message of the library has."""
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    return f"{rule}. Received: {values}." + (f" {advice}" if advice else "")


# --- errors of a layer -------------------------------------------------------------------


def not_positive(name: str, value: Any) -> str:
    return error(f"`{name}` must be a positive integer", {name: value})


def bad_kernel_size(kernel_size: Any) -> str:
    return error(
        "`kernel_size` must hold one positive integer per spatial dimension",
        {"kernel_size": kernel_size},
    )


def not_divisible(name: str, channels: int, groups: int) -> str:
    return error(
        f"`groups` must divide `{name}`",
        {"groups": groups, name: channels},
        f"Choose groups among the divisors of {channels}.",
    )


def D_mul_too_small(D_mul: int, kernel_size: tuple[int, ...], kernel_elements: int) -> str:
    return error(
        "`D_mul` must be at least the number of kernel elements",
        {"D_mul": D_mul, "kernel_size": kernel_size},
        f"Fewer than {kernel_elements} columns cannot express every kernel; "
        f"leave D_mul=None for {kernel_elements}.",
    )


def bad_composition(composition: Any) -> str:
    return error('`composition` must be "kernel" or "feature"', {"composition": composition})


def bad_dtype(dtype: Any) -> str:
    return error(
        "`dtype` must be a real floating-point type",
        {"dtype": str(dtype)},
        "Over-parameterization trains its arrays; quantize after fold().",
    )


def bad_shape(name: str, received: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return error(f"`{name}` must have shape {expected}", {f"{name}.shape": tuple(received)})


def wrong_input_channels(received: int, expected: int) -> str:
    return error(
        f"the input must have {expected} channels", {"channels": received, "in_channels": expected}
    )


# --- errors of convert and fold ----------------------------------------------------------


def not_finite(name: str, layer: str) -> str:
    return error(
        f"cannot fold {_quoted(layer)}: `{name}` must be finite",
        {name: "NaN or infinity"},
        "Go back to a checkpoint from before the training diverged.",
    )


def overflows(layer: str, dtype: Any) -> str:
    return error(
        f"cannot fold {_quoted(layer)}: its kernel does not fit its type",
        {"dtype": str(dtype)},
        "Cast the model to a wider type before fold().",
    )


def sharded(layer: str, kind: str) -> str:
    return error(
        f"cannot fold {_quoted(layer)}: its arrays must be whole, not sharded",
        {"type": kind},
        "Gather the full state dict into an unsharded model, then fold() that.",
    )


def cannot_convert(layer: str, kind: str, reason: str) -> str:
    return error(f"cannot over-parameterize {_quoted(layer)}", {"type": kind}, f"Reason: {reason}.")


def cannot_fold(layer: str, kind: str, reason: str) -> str:
    return error(f"cannot fold {_quoted(layer)}", {"type": kind}, f"Reason: {reason}.")


def uninitialized(layer: str, kind: str) -> str:
    return error(
        f"cannot convert {_quoted(layer)}: its shape must be known",
        {"type": kind},
        "Run one batch through the model first, then convert().",
    )


def wrong_type(name: str, received: Any, expected: str) -> str:
    return error(f"`{name}` must be {expected}", {name: type(received).__name__})


def bad_choice(name: str, received: Any, choices: tuple[str, ...]) -> str:
    return error(f"`{name}` must be one of {', '.join(map(repr, choices))}", {name: received})


def offset_not_trained(count: int, keyword: str = "optimizer") -> str:
    return (
        f"This {keyword} was built before convert() and updates the weights of {count} converted "
        f"layer(s) but not their D. Pass it as convert(..., {keyword}={keyword}), "
        "or build it from the parameters of the converted model."
    )


NOTHING_CONVERTED = (
    "convert() found no convolution to over-parameterize; summary(model) gives the reason for each."
)


def _quoted(layer: str) -> str:
    return f"layer {layer!r}" if layer else "the layer"


# --- Keras -------------------------------------------------------------------------------

LORA = "LoRA has frozen its kernel"


def legacy_keras(kind: str) -> str:
    return error(
        "doconv_tf works on Keras 3, not on the legacy tf_keras (or tf.keras before 2.16)",
        {"type": kind},
        "Build the model with Keras 3 (`import keras`) and give it the weights of this one.",
    )


def no_lora(layer: str, kind: str) -> str:
    return error(
        f"cannot enable LoRA on {_quoted(layer)}",
        {"type": kind},
        "LoRA freezes the kernel that D over-parameterizes: fold() first, then enable it.",
    )


def not_built(layer: str, kind: str) -> str:
    return error(
        f"cannot fold {_quoted(layer)}: it must be built",
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


# --- reasons: why a convolution was left as it was ---------------------------------------

POINTWISE = "one kernel element has nothing to over-parameterize"
NOT_SELECTED = "not selected by `where`"
CONVERTIBLE = "not converted"
OWN_FORWARD = "a subclass may compute something else than its base class"
INSTANCE_FORWARD = "its forward is replaced on the instance"
RECOMPUTED_WEIGHT = "its weight is recomputed by a hook (weight_norm, spectral_norm or prune)"
PARAMETRIZED = "its weight is parametrized"
OTHER_ARRAYS = "it has parameters, buffers or submodules besides weight and bias"
NAME_TAKEN = "it has an attribute of its own named D, W_extra, D_mul, composition or spec"
NOT_FLOATING = "its weight is not of a real floating-point type"
SHARDED = "its arrays are sharded"
QUANTIZED = "it is quantized, or made ready for that; over-parameterize before"


def wrapped(layer: str, kind: str) -> str:
    return error(
        f"cannot convert {_quoted(layer)}: it already lists the parameters to synchronize",
        {"type": kind},
        "Convert the model first, then wrap it.",
    )


def optimizer_needs_inplace(keyword: str = "optimizer") -> str:
    return error(
        f"`{keyword}` must hold the parameters of the converted model",
        {"inplace": False},
        f"A converted copy has new parameters: pass inplace=True, or build a new {keyword}.",
    )


# --- PyTorch: over-parameterization at the optimizer ---------------------------------------

NO_CLOSURE = (
    "an optimizer that calls a closure within step() computes gradients in between, when the "
    "network holds W in place of its kernels. Call backward() before step(), or convert() the "
    "model to DO-Conv layers instead."
)

NOTHING_AT_OPTIMIZER = (
    "no convolution of the model can be over-parameterized at this optimizer: it must hold their "
    "weights; summary(model) gives the reason for each layer that is left."
)


def already_at_optimizer(layer: str) -> str:
    return error(
        "a weight must be over-parameterized once at an optimizer",
        {"layer": layer},
        "Another OptimizerDOConv has it already: remove() that one first.",
    )


def weight_was_written(layers: list[str]) -> str:
    return (
        f"OptimizerDOConv: the weights of {len(layers)} layer(s) were written to between steps, "
        f"the first of them {layers[0]!r}. They are kept, and D starts from zero again there."
    )


def partitioned_optimizer(kind: str) -> str:
    return error(
        "an optimizer that deals its parameters out to processes takes no further ones",
        {"optimizer": kind},
        "Convert the model first, and build the optimizer afterwards.",
    )


# --- Gluon -------------------------------------------------------------------------------

IN_SYMBOL_BLOCK = "it is part of a SymbolBlock, whose graph is fixed"
SHARED_WEIGHT = "its weight is also that of a layer which stays plain"
NO_VALUES_YET = "its parameters have no values yet; initialize the model and run one batch first"


def numpy_too_new(version: str) -> str:
    return error(
        "MXNet 1.9.1, the last one, needs NumPy below 2",
        {"numpy": version},
        "pip install 'numpy<2'",
    )


def feature_needs_in_channels() -> str:
    return error(
        '`in_channels` must be given for composition="feature"',
        {"in_channels": 0},
        "Its depthwise convolution has one filter per input channel; "
        'composition="kernel" can wait for the first input.',
    )


def cannot_read(layer: str, reason: str) -> str:
    return f"cannot read the arrays of {_quoted(layer)}: {reason}."


def other_state(received: Any, expected: Any) -> str:
    return error(
        f"the state must have these layers and shapes: {expected}",
        {"state": received},
        "Over-parameterize the same layers first.",
    )
