"""What a layer does not accept, in the words that every framework uses."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from doconv_core import messages
from doconv_torch import DOConv2d, DOConvTranspose2d, convert
from tests.torch_adapter.helpers import CLASSES

ERRORS: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "D_mul-too-small": (
        (4, 6, 3),
        {"D_mul": 8},
        ValueError,
        messages.layer.D_mul_too_small(8, (3, 3), 9),
    ),
    "D_mul-a-float": (
        (4, 6, 3),
        {"D_mul": 9.0},
        TypeError,
        messages.layer.not_positive("D_mul", 9.0),
    ),
    "D_mul-negative": (
        (4, 6, 3),
        {"D_mul": -1},
        ValueError,
        messages.layer.not_positive("D_mul", -1),
    ),
    "groups-of-inputs": (
        (4, 6, 3),
        {"groups": 3},
        ValueError,
        messages.layer.not_divisible("in_channels", 4, 3),
    ),
    "groups-of-outputs": (
        (4, 6, 3),
        {"groups": 4},
        ValueError,
        messages.layer.not_divisible("out_channels", 6, 4),
    ),
    "groups-zero": ((4, 6, 3), {"groups": 0}, ValueError, messages.layer.not_positive("groups", 0)),
    "no-channels": ((0, 6, 3), {}, ValueError, messages.layer.not_positive("in_channels", 0)),
    "kernel_size": ((4, 6, (3, 0)), {}, ValueError, messages.layer.bad_kernel_size((3, 0))),
    "composition": (
        (4, 6, 3),
        {"composition": "fast"},
        ValueError,
        messages.layer.bad_composition("fast"),
    ),
    "integers": ((4, 6, 3), {"dtype": torch.int8}, TypeError, messages.layer.bad_dtype(torch.int8)),
    "complex": (
        (4, 6, 3),
        {"dtype": torch.complex64},
        TypeError,
        messages.layer.bad_dtype(torch.complex64),
    ),
    "missing": ((4, 6), {}, TypeError, "missing a required argument: 'kernel_size'"),
    "unknown": ((4, 6, 3), {"D_mult": 9}, TypeError, "'D_mult'"),
    "D_mul-by-position": (
        (4, 6, 3, 1, 0, 1, 1, True, "zeros", None, None, 9),
        {},
        TypeError,
        "too many positional arguments",
    ),
}


@pytest.mark.parametrize(
    ("positional", "named", "kind", "text"), ERRORS.values(), ids=ERRORS.keys()
)
def test_construction(
    positional: tuple[Any, ...], named: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        DOConv2d(*positional, **named)


def test_a_transposed_layer_pads_with_zeros_only_as_its_host() -> None:
    with pytest.raises(ValueError, match='Only "zeros" padding mode is supported'):
        DOConvTranspose2d(4, 6, 3, padding_mode="reflect")


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize("ours", [ours for ours, _ in CLASSES], ids=lambda cls: cls.__name__)
def test_an_input_of_other_channels_is_named_by_torch(ours: Any, composition: str) -> None:
    layer = ours(4, 6, 3, composition=composition)
    x = torch.zeros(1, 3, *(5,) * (layer.weight.ndim - 2))
    with pytest.raises(RuntimeError, match="to have 4 channels, but got 3 channels instead"):
        layer(x)


@pytest.mark.parametrize("more", [{"D_mul": 8}, {"D_mul": "9"}], ids=str)
def test_convert_and_from_conv_say_the_same(more: dict[str, Any]) -> None:
    conv, found = nn.Conv2d(4, 6, 3), []
    for build in (
        lambda: DOConv2d(4, 6, 3, **more),
        lambda: DOConv2d.from_conv(conv, **more),
        lambda: convert(conv, **more),
    ):
        with pytest.raises((ValueError, TypeError), match="`D_mul` must be") as error:
            build()
        found.append(str(error.value))
    assert len(set(found)) == 1
