"""Finding the convolutions of a file by their arrays' names and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.arrays import Arrays, Keys, Shape, by_layer
from doconv_cli.files.layers.composing import rows_agree
from doconv_cli.files.layers.find_official import find_official
from doconv_cli.files.layers.layers import DOLayer, Layer, PlainLayer
from doconv_core import DOConvSpec, messages


def find_layers(file: Arrays, hints: Hints) -> list[Layer]:
    """The convolutions of a file, in its order: DO-Conv, official DO-Conv, and plain.

    Args:
        file: its arrays.
        hints: what was said about them by options.

    Raises:
        ValueError: a layer's array is missing, its arrays do not fit each other, or it is an
            over-parameterized CondConv layer. Plain ones are left out.
        UsageError: an option's value does not fit a layer.
    """
    layers: list[Layer] = []
    groups = by_layer(file)
    theirs = find_official(file, groups, hints)
    for prefix, keys in groups.items():
        if _is_condconv(file, prefix, keys):
            if f"{prefix}D" in file.arrays:
                raise ValueError(messages.files.condconv_layer(prefix[:-1]))
        elif prefix in theirs:
            layers.append(theirs[prefix])
        elif "D" in keys or "W_extra" in keys:
            layers.append(_ours(file, prefix, keys, hints))
        elif "weight" in keys and 3 <= len(file.arrays[keys["weight"]].shape) <= 5:
            weight = file.arrays[keys["weight"]]
            bias = _bias(file.arrays[keys["bias"]].shape if "bias" in keys else None)
            layers.append(PlainLayer(prefix[:-1], keys["weight"], weight.shape, weight.dtype, bias))
    return layers


def _is_condconv(file: Arrays, prefix: str, keys: Keys) -> bool:
    """Whether a layer's arrays show an axis of experts, or lie beside a routing.

    A plain CondConv layer with neither bias nor routing looks like a convolution in one dimension
    more.
    """
    if "weight" not in keys or len(file.arrays[keys["weight"]].shape) < 4:
        return False
    beside = [file.arrays.get(prefix + array) for array in ("bias", "D")]
    ndims = [0 if array is None else len(array.shape) for array in beside]
    return ndims[0] == 2 or ndims[1] == 4 or f"{prefix}routing.weight" in file.arrays


def _ours(file: Arrays, prefix: str, keys: Keys, hints: Hints) -> DOLayer:
    name = prefix[:-1]
    if not {"weight", "D"} <= keys.keys():
        raise ValueError(messages.files.incomplete_layer(name, sorted(keys)))
    arrays = {array: file.arrays[key] for array, key in keys.items()}
    shapes = {array: content.shape for array, content in arrays.items()}
    spec, groups, sure = _spec(name, shapes, file.recorded.get(name), hints)
    return DOLayer(
        name=name,
        spec=spec,
        groups=groups,
        kernel_size=spec.kernel_size,
        bias=_bias(shapes.get("bias")),
        dtype=arrays["weight"].dtype,
        weight=prefix + "weight",
        keys=tuple(key for array, key in keys.items() if array != "bias"),
        arrays=arrays,
        ambiguous=not (sure or rows_agree(arrays["D"])),
    )


def _spec(
    name: str, shapes: Mapping[str, Shape], recorded: bool | None, hints: Hints
) -> tuple[DOConvSpec, int | None, bool]:
    """The sizes; the groups, None where not told; whether no other kind of layer fits as well.

    An ordinary layer has weight (O, I/g, *k), a transposed one (I, O/g, *k); both have
    D (I, K, S). Where O = I an ordinary layer's arrays can be a transposed one's.
    """
    misfit = ValueError(messages.files.misfit_layer(name, dict(shapes)))
    if not 3 <= len(shapes["weight"]) <= 5:
        raise misfit
    first, second, *kernel_size = shapes["weight"]
    channels, K, S = shapes["D"]
    if math.prod(kernel_size) != K or shapes.get("W_extra", (first, second, 0)) != (
        first,
        second,
        S - K,
    ):
        raise misfit
    bias = _bias(shapes.get("bias"))
    ordinary = _divides(second, channels) and _divides(channels // second, first)
    ordinary = ordinary and bias in (0, first)
    transposed = channels == first
    if bias:
        transposed = transposed and _divides(second, bias) and _divides(bias // second, first)
    # A depthwise layer's output is of the input channel that its D is of, either way.
    depthwise = second == 1 and channels == first
    told = hints.is_transposed(name, needed=ordinary and transposed and not depthwise)
    if told is None:
        told = recorded
    is_transposed = not ordinary if told is None else told
    if not (transposed if is_transposed else ordinary):
        raise misfit
    sure = told is not None or not transposed or depthwise
    if is_transposed:  # D acts on the first axis, so that nothing depends on the groups
        spec = DOConvSpec(channels, second, tuple(kernel_size), 1, S, transposed=True)
        return spec, bias // second or None, True
    groups = channels // second
    return DOConvSpec(channels, first, tuple(kernel_size), groups, S), groups, sure


def _divides(divisor: int, number: int) -> bool:
    return divisor > 0 and number % divisor == 0


def _bias(shape: Shape | None) -> int:
    return 0 if shape is None else math.prod(shape)
