"""What convert and fold say of a model: errors, warnings, and reasons.

A reason says, in a summary row, why a convolution was left as it was.
"""

from __future__ import annotations

from typing import Any

from doconv_core.messages.layer import error, named

EXPORTED_UNFOLDED = (
    "DO-Conv layers are exported that are not folded: the graph is right, but composes their "
    "kernels in every call. Export fold(model): its graph is the plain model's."
)


def not_finite(name: str, layer: str) -> str:
    return error(
        f"cannot fold {named(layer)}: `{name}` must be finite",
        {name: "NaN or infinity"},
        "Go back to a checkpoint from before the training diverged.",
    )


def overflows(layer: str, dtype: Any) -> str:
    return error(
        f"cannot fold {named(layer)}: its kernel does not fit its type",
        {"dtype": str(dtype)},
        "Cast the model to a wider type before fold().",
    )


def cannot_convert(layer: str, kind: str, reason: str) -> str:
    return error(f"cannot over-parameterize {named(layer)}", {"type": kind}, f"Reason: {reason}.")


def cannot_fold(layer: str, kind: str, reason: str) -> str:
    return error(f"cannot fold {named(layer)}", {"type": kind}, f"Reason: {reason}.")


def uninitialized(layer: str, kind: str) -> str:
    return error(
        f"cannot convert {named(layer)}: its shape must be known",
        {"type": kind},
        "Run one batch through the model first, then convert().",
    )


def cannot_read(layer: str, reason: str) -> str:
    return f"cannot read the arrays of {named(layer)}: {reason}."


def offset_not_trained(count: int, keyword: str = "optimizer") -> str:
    return (
        f"This {keyword} was built before convert() and updates the weights of {count} converted "
        f"layer(s) but not their D. Pass it as convert(..., {keyword}={keyword}), "
        "or build it from the parameters of the converted model."
    )


def optimizer_needs_inplace(keyword: str = "optimizer") -> str:
    return error(
        f"`{keyword}` must hold the parameters of the converted model",
        {"inplace": False},
        f"A converted copy has new parameters: pass inplace=True, or build a new {keyword}.",
    )


NOTHING_CONVERTED = (
    "convert() found no convolution to over-parameterize; summary(model) gives the reason for each."
)


def random_start(count: int) -> str:
    return (
        f"convert: the output is NOT preserved: D of {count} convolution(s) starts at random, as "
        'D_init="random" asks.'
    )


def mostly_left(count: int, done: int, reason: str) -> str:
    return (
        f"convert() over-parameterized {done} convolution(s) and left {count}, for one reason: "
        f"{reason}. summary(model) names them."
    )


def large_D(added: int, parameters: int, factor: int, largest: str) -> str:
    return (
        f"D has {added:,} numbers, more than {factor} times the {parameters:,} parameters of the "
        f"rest of the model; {named(largest)} has the most. Leave out the largest kernels by "
        "convert(..., max_kernel_elements=25), or choose layers by `where`; "
        "summary(model) shows each before conversion."
    )


def D_is_left(names: list[str], holder: str) -> str:
    return (
        f"fold() found no layer to fold, but {holder} holds {len(names)} D's, the first of them "
        f"{names[0]!r}: their layers are part of a graph now. Fold the model before it is traced."
    )


def bad_where(where: Any) -> str:
    return error(
        "`where` must be a function of (name, layer), or names",
        {"where": where},
        'Pass lambda name, layer: ..., or names of layers or of what holds them, as ["layer4"].',
    )


def unknown_where(name: str, names: list[str]) -> str:
    return error(
        "every name in `where` must be that of a convolution, or of what holds one",
        {"name": name},
        f"The model has {', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''}.",
    )


# --- reasons -----------------------------------------------------------------------------

POINTWISE = "one kernel element has nothing to over-parameterize"
NOT_SELECTED = "not selected by `where`"
TOO_LARGE = "its kernel has more elements than `max_kernel_elements`"
CONVERTIBLE = "not converted"
OWN_FORWARD = "a subclass may compute something else than its base class"
INSTANCE_FORWARD = "its forward is replaced on the instance"
NEVER_CALLED = (
    "what holds it has been called and it has not, so its shape is not known; if it is used after "
    "all, as in training alone, run it before convert()"
)
RECOMPUTED_WEIGHT = "its weight is recomputed by a hook (weight_norm, spectral_norm or prune)"
OTHER_ARRAYS = "it has parameters, buffers or submodules besides weight and bias"
NAME_TAKEN = "it has an attribute of its own named D, W_extra, D_mul, composition or spec"
NOT_FLOATING = "its weight is not of a real floating-point type"
QUANTIZED = "it is quantized, or made ready for that; over-parameterize before"
NO_VALUES_YET = "its parameters have no values yet; initialize the model and run one batch first"
