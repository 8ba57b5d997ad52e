"""Finding the authors' own layers among the arrays of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping

from doconv_cli.files.errors import UsageError
from doconv_cli.files.hints import Hints, KernelSize
from doconv_cli.files.layers.arrays import Arrays, Keys
from doconv_cli.files.layers.layers import DOLayer
from doconv_core import DOConvSpec, messages, official


def find_official(file: Arrays, by_layer: Mapping[str, Keys], hints: Hints) -> dict[str, DOLayer]:
    """The official layers of a file.

    Args:
        file: its arrays.
        by_layer: their keys, grouped.
        hints: where a kernel's size comes from if the file does not tell.

    Returns:
        Prefix to layer.

    Raises:
        ValueError: a layer's arrays do not fit each other, or may be this library's as well.
        UsageError: a kernel size does not fit a layer.
    """
    find = {"torch": _in_torch, "gluon": _in_gluon}.get(file.source)
    theirs = find(file, by_layer) if find else []
    keys = [key for prefix in theirs for key in by_layer[prefix].values()]
    found = official.read({key: file.numpy(key) for key in keys}, file.source) if keys else {}
    return {
        prefix: _layer(file, prefix, by_layer[prefix], found[prefix[:-1]], hints)
        for prefix in theirs
        if prefix[:-1] in found
    }


_D = {"D", "d_diag", "D_diag"}


def _in_torch(file: Arrays, by_layer: Mapping[str, Keys]) -> list[str]:
    theirs = [prefix for prefix, keys in by_layer.items() if "weight" not in keys]
    # A lone W may be of any kind of layer; beside layers with a D it is a 1x1 one.
    sure = any("W" in by_layer[prefix] and _D & by_layer[prefix].keys() for prefix in theirs)
    return theirs if sure else []


def _in_gluon(file: Arrays, by_layer: Mapping[str, Keys]) -> list[str]:
    """Layers whose D is (K, K, I) and not (I, K, S); where it is both, the others decide."""
    ours, theirs = set(), set()
    for prefix, keys in by_layer.items():
        if {"weight", "D"} <= keys.keys():
            K = math.prod(file.shapes[keys["weight"]][2:])
            D = file.shapes[keys["D"]]
            if D[1:] == (K, K) or "W_extra" in keys:
                ours.add(prefix)
            if D[:2] == (K, K) and "W_extra" not in keys:
                theirs.add(prefix)
    both = ours & theirs
    if both and (ours == theirs or (ours - both and theirs - both)):
        prefix = min(both)
        raise ValueError(
            messages.files.whose_layer(prefix[:-1], file.shapes[by_layer[prefix]["D"]])
        )
    return sorted(theirs) if theirs - both else []


def _layer(
    file: Arrays, prefix: str, keys: Keys, layer: official.OfficialLayer, hints: Hints
) -> DOLayer:
    O, channels, S = layer.W.shape
    K = 1 if layer.D is None else layer.D.shape[1]
    kernel_size = layer.kernel_size or _asked(prefix[:-1], K, hints)
    # A 1x1 layer's groups are not known, and nothing depends on them.
    spec = DOConvSpec(channels * (layer.groups or 1), O, kernel_size or (K,), layer.groups or 1, S)
    return DOLayer(
        name=prefix[:-1],
        spec=spec,
        groups=layer.groups,
        kernel_size=kernel_size,
        W=layer.W,
        D=layer.D,
        bias=0 if layer.bias is None else layer.bias.size,
        dtype=file.dtype(keys.get("W") or keys["weight"]),
        weight=prefix + "weight",
        keys=tuple(key for array, key in keys.items() if array != "bias"),
        official=layer,
    )


def _asked(name: str, K: int, hints: Hints) -> KernelSize | None:
    asked = hints.kernel_size.get(name)
    if asked is None:
        return None
    size = (math.isqrt(K),) * 2 if isinstance(asked, str) else asked
    if math.prod(size) != K:
        raise UsageError(messages.files.official_kernel_size(name, asked, K))
    return size
