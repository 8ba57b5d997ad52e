"""Finding the convolutions of a file by their arrays' names and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.arrays import Arrays, Keys, Shape, by_layer
from doconv_cli.files.layers.find_official import find_official
from doconv_cli.files.layers.layers import DOLayer, Layer, PlainLayer
from doconv_core import DOConvSpec, messages
from doconv_core.kernel.layout import to_canonical


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
            if f"{prefix}D" in file.shapes:
                raise ValueError(messages.files.condconv_layer(prefix[:-1]))
        elif prefix in theirs:
            layers.append(theirs[prefix])
        elif "D" in keys or "W_extra" in keys:
            layers.append(_ours(file, prefix, keys, hints))
        elif "weight" in keys and 3 <= len(file.shapes[keys["weight"]]) <= 5:
            weight, bias = keys["weight"], _bias(file.shapes.get(keys.get("bias", "")))
            dtype = file.dtype(weight)
            layers.append(PlainLayer(prefix[:-1], weight, file.shapes[weight], dtype, bias))
    return layers


def _is_condconv(file: Arrays, prefix: str, keys: Keys) -> bool:
    """Whether a layer's arrays show an axis of experts, or lie beside a routing.

    A plain CondConv layer with neither bias nor routing looks like a convolution in one dimension
    more.
    """
    if "weight" not in keys or len(file.shapes[keys["weight"]]) < 4:
        return False
    ndims = [len(file.shapes.get(prefix + array, ())) for array in ("bias", "D")]
    return ndims[0] == 2 or ndims[1] == 4 or f"{prefix}routing.weight" in file.shapes


def _ours(file: Arrays, prefix: str, keys: Keys, hints: Hints) -> DOLayer:
    name = prefix[:-1]
    if not {"weight", "D"} <= keys.keys():
        raise ValueError(messages.files.incomplete_layer(name, sorted(keys)))
    shapes = {array: file.shapes[key] for array, key in keys.items()}
    spec, groups, sure = _spec(name, shapes, file.recorded.get(name), hints)
    layout = "IOk" if spec.transposed else "OIk"
    arrays = [file.numpy(keys[array]) for array in ("weight", "W_extra") if array in keys]
    return DOLayer(
        name=name,
        spec=spec,
        groups=groups,
        kernel_size=spec.kernel_size,
        W=np.concatenate([to_canonical(spec, array, layout) for array in arrays], axis=2),
        D=file.numpy(keys["D"]),
        bias=_bias(shapes.get("bias")),
        dtype=file.dtype(keys["weight"]),
        weight=prefix + "weight",
        keys=tuple(key for array, key in keys.items() if array != "bias"),
        looks_transposed=not sure,
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
    told = True if hints.transposed.get(name) else recorded
    is_transposed = not ordinary if told is None else told
    if not (transposed if is_transposed else ordinary):
        raise misfit
    if is_transposed:  # D acts on the first axis, so that nothing depends on the groups
        spec = DOConvSpec(channels, second, tuple(kernel_size), 1, S, transposed=True)
        return spec, bias // second or None, True
    groups = channels // second
    spec = DOConvSpec(channels, first, tuple(kernel_size), groups, S)
    return spec, groups, told is not None or not transposed


def _divides(divisor: int, number: int) -> bool:
    return divisor > 0 and number % divisor == 0


def _bias(shape: Shape | None) -> int:
    return 0 if shape is None else math.prod(shape)
