"""XSepConv in the core: sizes, what is refused, what may be replaced, and cost."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from doconv_core import Cost, DOConvSpec, XSepConvSpec, messages, xsepconv_cost
from doconv_core.neighbours.xsepconv import CORNERS, why_kept
from tests.star.oracles.xsepconv import XSepConvOracle

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "even": ({"kernel_size": 6}, ValueError, messages.neighbours.not_separable(6)),
    "small": ({"kernel_size": 3}, ValueError, messages.neighbours.not_separable(3)),
    "rectangular": ({"kernel_size": (5, 7)}, ValueError, messages.neighbours.not_separable((5, 7))),
    "not a number": (
        {"kernel_size": "5"},
        TypeError,
        messages.layer.not_positive("kernel_size", "5"),
    ),
    "channels": ({"channels": 0}, ValueError, messages.layer.not_positive("channels", 0)),
    "stride": ({"stride": (2, 0)}, ValueError, messages.layer.not_positive("stride", 0)),
    "three strides": (
        {"stride": (1, 1, 1)},
        ValueError,
        messages.neighbours.not_two("stride", (1, 1, 1)),
    ),
    "dilation": ({"dilation": 1.0}, TypeError, messages.layer.not_positive("dilation", 1.0)),
    "corner": ({"corner": 4}, ValueError, messages.neighbours.bad_corner(4)),
    "D_mul for the 2 x 2 alone": (
        {"D_mul": 4},
        ValueError,
        messages.layer.D_mul_too_small(4, (1, 5), 5),
    ),
    "D_mul for two": ({"D_mul": (4, 5)}, ValueError, messages.neighbours.not_three((4, 5))),
    "D_mul": ({"D_mul": "k"}, TypeError, messages.layer.not_positive("D_mul", "k")),
}


@pytest.mark.parametrize(("given", "kind", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        XSepConvSpec(**{"channels": 4, "kernel_size": 5, **given})


@pytest.mark.parametrize(
    ("D_mul", "columns"),
    [
        (None, (None, None, None)),
        ("K", (4, 7, 7)),
        (9, (9, 9, 9)),
        ((None, "K", 8), (None, 7, 8)),
        ([4, 7, 7], (4, 7, 7)),
    ],
    ids=str,
)
def test_D_mul(D_mul: Any, columns: tuple[int | None, ...]) -> None:
    assert XSepConvSpec(4, 7, D_mul=D_mul).D_mul == columns


def test_a_spec_does_not_depend_on_how_it_was_said() -> None:
    said = XSepConvSpec(4, (5, 5), [2, 2], np.int64(1), D_mul="K")
    assert said == XSepConvSpec(4, 5, 2, (1, 1), D_mul=[4, 5, 5])


def test_the_four_corners_leave_the_image_where_it_was() -> None:
    """Each is met once, and over four layers every side gets as many zeros as the other three."""
    assert len(set(CORNERS)) == 4
    (top, bottom), (left, right) = np.sum(CORNERS, axis=0)
    assert top == bottom == left == right == 2


@pytest.mark.parametrize(
    ("corner", "seen"),
    [(0, (2, 2)), (1, (2, 1)), (2, (1, 1)), (3, (1, 2))],
    ids=["top left", "top right", "bottom right", "bottom left"],
)
def test_the_square_kernel_looks_towards_its_corner(corner: int, seen: tuple[int, int]) -> None:
    """A lone pixel at (1, 1) of 4 x 4, which the 2 x 2 kernel's first element alone passes on."""
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 1] = 1
    W = [np.eye(4)[None, None, 0], *[np.eye(5)[None, None, 2]] * 2]  # the pair does nothing
    oracle = XSepConvOracle(XSepConvSpec(1, 5, corner=corner))
    assert np.argwhere(oracle(x, W, [None] * 3)[0, 0]).tolist() == [list(seen)]


KEPT: dict[str, tuple[DOConvSpec, dict[str, Any], str]] = {
    "5 x 5": (DOConvSpec(8, 8, (5, 5), 8), {"padding": (2, 2)}, ""),
    "same": (DOConvSpec(8, 8, (7, 7), 8), {"padding": "same"}, ""),
    "dilated": (DOConvSpec(8, 8, (5, 5), 8), {"padding": (4, 2), "dilation": (2, 1)}, ""),
    "one channel": (DOConvSpec(1, 1, (5, 5)), {"padding": (2, 2)}, ""),
    "ordinary": (DOConvSpec(8, 8, (5, 5)), {"padding": (2, 2)}, messages.neighbours.NOT_DEPTHWISE),
    "grouped": (
        DOConvSpec(8, 8, (5, 5), 4),
        {"padding": (2, 2)},
        messages.neighbours.NOT_DEPTHWISE,
    ),
    "multiplier": (
        DOConvSpec(8, 16, (5, 5), 8),
        {"padding": (2, 2)},
        messages.neighbours.NOT_DEPTHWISE,
    ),
    "transposed": (
        DOConvSpec(8, 8, (5, 5), 8, transposed=True),
        {"padding": (2, 2)},
        messages.neighbours.NOT_DEPTHWISE,
    ),
    "3 x 3": (
        DOConvSpec(8, 8, (3, 3), 8),
        {"padding": (1, 1)},
        messages.neighbours.SMALL_OR_UNEVEN,
    ),
    "6 x 6": (
        DOConvSpec(8, 8, (6, 6), 8),
        {"padding": "same"},
        messages.neighbours.SMALL_OR_UNEVEN,
    ),
    "5 x 7": (
        DOConvSpec(8, 8, (5, 7), 8),
        {"padding": (2, 3)},
        messages.neighbours.SMALL_OR_UNEVEN,
    ),
    "1d": (DOConvSpec(8, 8, (5,), 8), {"padding": (2,)}, messages.neighbours.SMALL_OR_UNEVEN),
    "3d": (
        DOConvSpec(8, 8, (5, 5, 5), 8),
        {"padding": (2,) * 3},
        messages.neighbours.SMALL_OR_UNEVEN,
    ),
    "valid": (
        DOConvSpec(8, 8, (5, 5), 8),
        {"padding": "valid"},
        messages.neighbours.NOT_SAME_PADDING,
    ),
    "narrow": (
        DOConvSpec(8, 8, (5, 5), 8),
        {"padding": (2, 1)},
        messages.neighbours.NOT_SAME_PADDING,
    ),
    "reflect": (
        DOConvSpec(8, 8, (5, 5), 8),
        {"padding": (2, 2), "padding_mode": "reflect"},
        messages.neighbours.NOT_SAME_PADDING,
    ),
}


@pytest.mark.parametrize(("spec", "given", "reason"), KEPT.values(), ids=KEPT.keys())
def test_what_may_be_replaced(spec: DOConvSpec, given: dict[str, Any], reason: str) -> None:
    assert why_kept(spec, **{"dilation": (1, 1), **given}) == reason


@pytest.mark.parametrize("kernel_size", [5, 7, 9])
def test_parameters_fall_from_k_squared_to_4_and_2_k(kernel_size: int) -> None:
    cost = xsepconv_cost(XSepConvSpec(8, kernel_size), (14, 14), bias=True)
    assert cost.depthwise.plain.parameters == 8 * kernel_size**2 + 8
    assert cost.xsepconv.plain.parameters == 8 * (4 + 2 * kernel_size) + 8


def test_multiply_accumulates_with_a_stride() -> None:
    """The 2 x 2 kernel acts on every pixel, the others where their own axis is strided."""
    cost = xsepconv_cost(XSepConvSpec(8, 5, stride=(2, 3)), (9, 7), batch_size=10)
    assert cost.depthwise.plain.macs == 10 * 8 * 25 * (5 * 3)
    assert cost.xsepconv.plain.macs == 10 * 8 * (4 * 9 * 7 + 5 * 9 * 3 + 5 * 5 * 3)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "xsepconv", "depthwise"),
    [(5, 1, 14, 25), (7, 1, 18, 49), (5, 2, 7.75, 6.25), (7, 2, 9.25, 12.25)],
)
def test_multiply_accumulates_for_a_pixel_of_the_input(
    kernel_size: int, stride: int, xsepconv: float, depthwise: float
) -> None:
    cost = xsepconv_cost(XSepConvSpec(1, kernel_size, stride), (8, 8))
    assert (cost.xsepconv.plain.macs, cost.depthwise.plain.macs) == (64 * xsepconv, 64 * depthwise)


def test_the_cost_of_over_parameterization() -> None:
    plain = xsepconv_cost(XSepConvSpec(8, 5), (14, 14)).xsepconv
    assert plain.kernel == plain.feature == plain.folded == plain.plain
    trained = xsepconv_cost(XSepConvSpec(8, 5, D_mul="K"), (14, 14)).xsepconv
    composition = 8 * (4 * 4 + 5 * 5 + 5 * 5)
    assert trained.kernel == plain.plain + Cost(composition, composition)
    assert trained.folded == trained.plain == plain.plain
    # one of the three alone
    square = xsepconv_cost(XSepConvSpec(8, 5, D_mul=("K", None, None)), (14, 14)).xsepconv
    assert square.kernel == plain.plain + Cost(8 * 16, 8 * 16)
