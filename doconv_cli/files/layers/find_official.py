"""Finding the authors' own layers among the arrays of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from doconv_cli.files.errors import UsageError
from doconv_cli.files.hints import Hints, KernelSize
from doconv_cli.files.layers.arrays import Arrays, Keys
from doconv_cli.files.layers.composing import raw
from doconv_cli.files.layers.entries import Array, Content, widened
from doconv_cli.files.layers.layers import OfficialDOLayer
from doconv_cli.text import counted
from doconv_core import DOConvSpec, messages, official


def find_official(
    file: Arrays, by_layer: Mapping[str, Keys], hints: Hints
) -> dict[str, OfficialDOLayer]:
    """The official layers of a file.

    Args:
        file: its arrays.
        by_layer: their keys, grouped.
        hints: where a kernel's size comes from if the file does not tell.

    Returns:
        Prefix to layer.

    Raises:
        ValueError: a layer's arrays do not fit each other.
        UsageError: a kernel size does not fit a layer, or one may be this library's as well.
    """
    theirs: list[str] = []
    if file.source == "torch":
        theirs = _in_torch(by_layer)
    elif file.source == "gluon":
        theirs = _in_gluon(file, by_layer, hints)
    # By their sizes alone: an official file's arrays are read when they are needed.
    keys = [key for prefix in theirs for key in by_layer[prefix].values()]
    found = official.read({key: sizes_alone(file.arrays[key]) for key in keys}, file.source)
    return {
        prefix: official_layer(
            found[prefix[:-1]],
            {key: file.arrays[key] for key in by_layer[prefix].values()},
            prefix + "weight",
            asked_kernel_size(prefix[:-1], found[prefix[:-1]], hints),
        )
        for prefix in theirs
        if prefix[:-1] in found
    }


def official_layer(
    sizes: official.OfficialLayer,
    contents: Mapping[str, Content],
    weight: str,
    kernel_size: KernelSize | None,
    layout: str = "OIk",
) -> OfficialDOLayer:
    """One of the authors' layers, from its sizes and where its arrays lie."""
    O, channels, S = sizes.W.shape
    K = 1 if sizes.D is None else sizes.D.shape[1]
    # A 1x1 layer's groups are not known, and nothing depends on them.
    groups = sizes.groups or 1
    spec = DOConvSpec(channels * groups, O, kernel_size or (K,), groups, S)
    W = next(key for key in sizes.keys if key.endswith(("W", "weight", "kernel", "kernel:0")))
    own = {key: contents[key] for key in sizes.keys}
    return OfficialDOLayer(
        name=sizes.name,
        spec=spec,
        groups=sizes.groups,
        kernel_size=kernel_size,
        bias=0 if sizes.bias is None else sizes.bias.size,
        dtype=contents[W].dtype,
        weight=weight,
        keys=tuple(key for key in sizes.keys if not key.endswith(("bias", "bias:0"))),
        arrays=own,
        expressible=sizes.expressible,
        layout=layout,
        load=partial(_load, sizes, own),
    )


def _load(sizes: official.OfficialLayer, contents: Mapping[str, Content]) -> official.OfficialLayer:
    arrays: dict[str, Array] = {}
    for key, content in contents.items():
        arrays[key] = widened(raw(content), content.dtype)
    return official.read(arrays, sizes.source)[sizes.name]


def sizes_alone(content: Content) -> Array:
    """An array of the same sizes that takes no memory."""
    return np.broadcast_to(np.zeros((), np.float32), content.shape)


_D = {"D", "d_diag", "D_diag"}


def _in_torch(by_layer: Mapping[str, Keys]) -> list[str]:
    theirs = [prefix for prefix, keys in by_layer.items() if "weight" not in keys]
    # A lone W may be of any kind of layer; beside layers with a D it is a 1x1 one.
    sure = any("W" in by_layer[prefix] and _D & by_layer[prefix].keys() for prefix in theirs)
    return theirs if sure else []


def _in_gluon(file: Arrays, by_layer: Mapping[str, Keys], hints: Hints) -> list[str]:
    """Layers whose D is (K, K, I) and not (I, K, S); where it is both, they are as the others."""
    ours, theirs = set(), set()
    for prefix, keys in by_layer.items():
        if {"weight", "D"} <= keys.keys():
            K = math.prod(file.arrays[keys["weight"]].shape[2:])
            D = file.arrays[keys["D"]].shape
            if D[1:] == (K, K) or "W_extra" in keys:
                ours.add(prefix)
            if D[:2] == (K, K) and "W_extra" not in keys:
                theirs.add(prefix)
    both = ours & theirs
    told = {prefix: hints.is_official(prefix[:-1]) for prefix in both}
    open_ = sorted(prefix for prefix in both if told[prefix] is None)
    if open_ and (ours == theirs or (ours - both and theirs - both)):
        raise UsageError(
            f"the file does not tell whether {counted(len(open_), 'layer')} of as many inputs as "
            "kernel elements are this library's or the authors', whose arrays would mean other "
            f"kernels: {', '.join(repr(prefix[:-1]) for prefix in open_)}; pass --official NAME "
            "for theirs (NAME may hold * and ?), or --official none"
        )
    like_others = bool(theirs - both)
    return sorted(
        prefix
        for prefix in theirs
        if prefix not in both or (like_others if told[prefix] is None else told[prefix])
    )


def asked_kernel_size(name: str, sizes: official.OfficialLayer, hints: Hints) -> KernelSize | None:
    """A layer's kernel size, from the file or an option; None where neither tells.

    Raises:
        UsageError: the option's value does not fit the layer.
    """
    if sizes.kernel_size is not None:
        return sizes.kernel_size
    K = 1 if sizes.D is None else sizes.D.shape[1]
    asked = hints.kernel_size.get(name)
    if asked is None:
        return None
    size = (math.isqrt(K),) * 2 if isinstance(asked, str) else asked
    if math.prod(size) != K:
        raise UsageError(messages.files.official_kernel_size(name, asked, K))
    return size
