"""The errors of one layer, and the form that every message of the library has.

An error says the rule, what was received, and what to do:
"`groups` must divide `in_channels`. Received: groups=3, in_channels=4. ...".
"""

from __future__ import annotations

from typing import Any


def error(rule: str, received: dict[str, Any], advice: str = "") -> str:
    """One error sentence in the form that every message of the library has."""
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    return f"{rule}. Received: {values}." + (f" {advice}" if advice else "")


def named(layer: str) -> str:
    return f"layer {layer!r}" if layer else "the layer"


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


def wrong_type(name: str, received: Any, expected: str) -> str:
    return error(f"`{name}` must be {expected}", {name: type(received).__name__})


def bad_choice(name: str, received: Any, choices: tuple[str, ...]) -> str:
    return error(f"`{name}` must be one of {', '.join(map(repr, choices))}", {name: received})
