"""What is said of CondConv and XSepConv only."""

from __future__ import annotations

from typing import Any

from doconv_core.messages.layer import error

# --- CondConv ----------------------------------------------------------------------------


def bad_expert_D_mul(D_mul: Any) -> str:
    return error(
        '`D_mul` must be None, "K" or an integer',
        {"D_mul": D_mul},
        'None leaves the experts plain; "K" gives every expert a D of as many columns as its '
        "kernel has elements.",
    )


def bias_without_routing() -> str:
    return error(
        "`routing_bias` must be False for a layer with routing=False",
        {"routing_bias": True, "routing": False},
        "Give the bias to the Routing that computes its alpha.",
    )


def alpha_needed() -> str:
    return error(
        "`alpha` must be given to a layer with routing=False",
        {"alpha": None},
        "Compute it with a Routing of the block, or let the layer have its own: routing=True.",
    )


def alpha_not_taken() -> str:
    return error(
        "`alpha` must not be given to a layer that has its own routing",
        {"routing": True},
        "Construct the layer with routing=False to route from outside.",
    )


# --- XSepConv ----------------------------------------------------------------------------

NOT_DEPTHWISE = "it is not depthwise with one output for each input channel"
SMALL_OR_UNEVEN = "its kernel is not square with an odd size of at least 5"
NOT_SAME_PADDING = "it is not padded with zeros so that stride 1 keeps the size"
FOLD_FIRST = "it is over-parameterized; fold it first"
TIED = "it shares its parameters with another layer"
NOTHING_REPLACED = "convert_depthwise() found no depthwise convolution to replace."


def not_separable(kernel_size: Any) -> str:
    return error(
        "`kernel_size` must be odd, square and at least 5",
        {"kernel_size": kernel_size},
        "A smaller kernel has fewer elements than the 4 + 2 k that would stand for it.",
    )


def bad_corner(corner: Any) -> str:
    return error(
        "`corner` must be 0 (top left), 1 (top right), 2 (bottom right) or 3 (bottom left)",
        {"corner": corner},
    )


def not_two(name: str, value: Any) -> str:
    return error(f"`{name}` must be one integer, or (vertical, horizontal)", {name: value})


def not_three(D_mul: Any) -> str:
    return error(
        "`D_mul` must be one value, or three: for the 2 x 2, 1 x k and k x 1 convolutions",
        {"D_mul": D_mul},
    )


def not_preserving(count: int) -> str:
    return (
        f"convert_depthwise: the output is NOT preserved: {count} depthwise convolution(s) gave "
        "way to new, randomly initialized XSepConv layers. Train the model before use."
    )


def replaced_too_late(layer: str, keyword: str = "optimizer") -> str:
    return error(
        f"convert_depthwise(inplace=True) must come before the {keyword} is built",
        {"model": layer},
        f"This one would go on with the parameters that are replaced: build the {keyword} "
        "afterwards, or pass inplace=False.",
    )
