"""The authors' own checkpoints (yangyanli/DO-Conv), as plain mappings of NumPy arrays.

What their layers store; in all three, D is the offset from the identity:

* "torch" (do_conv_pytorch.py): ``W`` (O, I/g, S), ``D`` (I, K, S);
* "tf" (do_conv_tensorflow.py): ``kernel`` (S, I/g, O), ``D`` (K, S, I);
* "gluon" (do_conv_gluoncv.py): ``weight`` (O, I/g, kh, kw), ``D`` (K, S, I) with S = K.

Their PyTorch layers also store the identity, as ``d_diag`` (in older files ``D_diag``).

What becomes of their groups. All three reshape W before D is applied. In TensorFlow and Gluon that
only renames D's rows: official row a*g + q is what channel q*(I/g) + a needs, so every layer is
read exactly. In PyTorch it pairs output o with the D of channel (o mod g)*(I/g) + a, the layer's
own channel only where g = 1, or g = I = O. With any other grouping no depthwise convolution
computes the same; such a layer has no state, but its kernel is known: :meth:`OfficialLayer.kernel`
gives it by the official rule, for a plain convolution or as the W of a new DO-Conv layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from doconv_core import messages
from doconv_core.kernel.composition import fold_kernel
from doconv_core.kernel.initialization import identity
from doconv_core.kernel.rounding import round_once
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.model.state import LayerState

Array = NDArray[Any]

SOURCES = ("torch", "tf", "gluon")

# How a key splits into the layer's name and the array's; ":0" is TensorFlow's.
_KEYS = {
    "torch": re.compile(r"(?:(?P<layer>.*)\.)?(?P<array>W|D|d_diag|D_diag|bias)"),
    "tf": re.compile(r"(?:(?P<layer>.*)/)?(?P<array>kernel|D|bias)(?::0)?"),
    "gluon": re.compile(r"(?:(?P<layer>.*)[._])?(?P<array>weight|D|bias)"),
}
_W = {"torch": "W", "tf": "kernel", "gluon": "weight"}


@dataclass(frozen=True, eq=False)
class OfficialLayer:
    """One layer of an official checkpoint, its arrays in the canonical layout.

    Attributes:
        source: which of the three formats it was read from.
        name: as in the checkpoint.
        keys: the checkpoint's keys of the arrays that belong to it.
        W: (O, I/g, S).
        D: (I, K, S), as offset from the identity, its rows in channel order; None for K = 1.
        bias: (O,), or None.
        kernel_size: where the arrays tell it (Gluon; a 1x1 layer); else None.
    """

    source: str
    name: str
    keys: tuple[str, ...]
    W: Array
    D: Array | None
    bias: Array | None
    kernel_size: tuple[int, ...] | None

    @property
    def groups(self) -> int | None:
        """G = I / (I/g); a layer without D does not tell its I, so None."""
        return None if self.D is None else self.D.shape[0] // self.W.shape[1]

    @property
    def expressible(self) -> bool:
        """Whether a DO-Conv layer computes the same with these very arrays."""
        groups = self.groups
        if self.source != "torch" or groups is None or groups == 1:
            return True
        assert self.D is not None
        return groups == self.D.shape[0] == self.W.shape[0]

    def state(
        self, kernel_size: tuple[int, ...] | None = None, groups: int | None = None
    ) -> LayerState:
        """The layer's neutral state.

        Args:
            kernel_size: needed unless the layer's own is known.
            groups: needed by a 1x1 layer with groups; others tell theirs.

        Raises:
            ValueError: a size is missing or does not fit the arrays, or the layer is not
                expressible (use :meth:`kernel`).
        """
        if not self.expressible:
            raise ValueError(messages.files.official_not_expressible(self.name, self.groups))
        return LayerState(self._spec(kernel_size, groups), self.W, self.D, self.bias)

    def kernel(self, dtype: DTypeLike | None = None) -> Array:
        """The kernel that the official layer convolves with, (O, I/g, K).

        Computed in float64 by the layer's own rule, right or wrong as labelled, and rounded once
        to ``dtype`` (None: W's).
        """
        if self.D is None:
            return round_once(self.W.astype(np.float64), self.W.dtype if dtype is None else dtype)
        I, K, S = self.D.shape
        if self.source != "torch":
            spec = DOConvSpec(I, self.W.shape[0], (K,), self.groups or 1, S)
            return fold_kernel(spec, self.W, self.D, dtype, self.name)
        # Their reshape treats any grouping as an ungrouped layer of O/g outputs.
        outputs = self.W.size // (I * S)
        kernel = fold_kernel(
            DOConvSpec(I, outputs, (K,), 1, S),
            self.W.reshape(outputs, I, S),
            self.D,
            dtype,
            self.name,
        )
        return kernel.reshape(*self.W.shape[:2], K)

    def _spec(self, kernel_size: tuple[int, ...] | None, groups: int | None) -> DOConvSpec:
        kernel_size = kernel_size or self.kernel_size
        elements = 1 if self.D is None else self.D.shape[1]
        if kernel_size is None or math.prod(kernel_size) != elements:
            raise ValueError(messages.files.official_kernel_size(self.name, kernel_size, elements))
        groups = self.groups or groups or 1
        O, channels, S = self.W.shape
        return DOConvSpec(channels * groups, O, kernel_size, groups, S)


def read(arrays: Mapping[str, Array], source: str) -> dict[str, OfficialLayer]:
    """Find the official DO-Conv layers in a checkpoint.

    Args:
        arrays: the whole checkpoint; arrays of other layers are passed over.
        source: "torch" (a state dict), "tf" (variables by path) or "gluon" (parameters by
            structure or by name).

    Returns:
        Layer name to :class:`OfficialLayer`, in the checkpoint's order. A 1x1 layer has no D: in
        Gluon it is a plain convolution and not listed; elsewhere it is listed, and so is any
        other ``W`` (``kernel``) of three axes with one column.

    Raises:
        ValueError: an unknown source, a D without its W, or arrays that do not fit each other.

    Example:
        >>> spec = DOConvSpec(2, 4, (3, 3))
        >>> layers = read({"conv.W": np.ones(spec.W_shape), "conv.D": np.zeros(spec.D_shape),
        ...                "norm.weight": np.ones(4)}, "torch")
        >>> layers["conv"].state(kernel_size=(3, 3)).spec == spec
        True
    """
    if source not in SOURCES:
        raise ValueError(messages.layer.bad_choice("source", source, SOURCES))
    keys: dict[str, dict[str, str]] = {}
    for key in arrays:
        if match := _KEYS[source].fullmatch(key):
            keys.setdefault(match["layer"] or "", {})[match["array"]] = key
    layers = {}
    for name, own in keys.items():
        layer = _layer(source, name, own, {array: arrays[key] for array, key in own.items()})
        if layer is not None:
            layers[name] = layer
    return layers


def _layer(
    source: str, name: str, keys: dict[str, str], arrays: dict[str, Array]
) -> OfficialLayer | None:
    W, D, bias = _canonical_W(source, arrays.get(_W[source])), arrays.get("D"), arrays.get("bias")
    diagonal = arrays.get("d_diag", arrays.get("D_diag"))
    if D is not None and D.ndim != 3:  # of some other layer that has a parameter called D
        D = None
    if D is None and diagonal is None:
        if source == "gluon" or W is None or W.shape[2] != 1:
            return None
        return OfficialLayer(source, name, tuple(keys.values()), W, None, bias, (1, 1))
    if D is None or W is None:
        raise ValueError(messages.files.official_incomplete(name, sorted(keys)))
    if source != "torch":
        D = D.transpose(2, 0, 1)
    (I, K, S), (O, a, columns) = D.shape, W.shape
    if not (K <= S == columns and I % a == 0 and O % (I // a) == 0):
        raise ValueError(
            messages.files.official_sizes(name, arrays[_W[source]].shape, arrays["D"].shape)
        )
    if source != "torch":  # row a*g + q to row q*(I/g) + a
        D = D.reshape(a, I // a, K, S).swapaxes(0, 1).reshape(D.shape)
    if diagonal is not None:  # always the identity, unless somebody trained it
        if diagonal.shape != D.shape:
            raise ValueError(messages.layer.bad_shape("d_diag", diagonal.shape, D.shape))
        D = D + (diagonal - identity(K, S)).astype(D.dtype)
    kernel_size = arrays["weight"].shape[2:] if source == "gluon" else None
    return OfficialLayer(source, name, tuple(keys.values()), W, D, bias, kernel_size)


def _canonical_W(source: str, W: Array | None) -> Array | None:
    """(O, I/g, S); None for an array that is no W of this source."""
    if W is None or W.ndim != (4 if source == "gluon" else 3):
        return None
    if source == "tf":
        return W.transpose(2, 1, 0)
    return W.reshape(*W.shape[:2], -1)
