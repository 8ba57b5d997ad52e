"""Holding what was written against the layer's definition, before it becomes OUT.

Nothing here composes a kernel. Numbers are drawn for one position of an image; D convolves them
depthwise, W mixes the features (the paper's feature composition), in float64, with arrays read anew
by their names. The written kernel applied to the same numbers must give the same, up to rounding
each of its elements once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from doconv_cli.files.errors import VerifyError
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.layers.composing import ELEMENTS, raw
from doconv_cli.files.layers.entries import Array, widened
from doconv_cli.files.layers.layers import DOLayer, Layer, OfficialDOLayer, PlainLayer, sibling
from doconv_core import DOConvSpec
from doconv_core.kernel.layout import from_canonical

# digits of the significand, the exponent of the smallest number
_TYPES = {
    "float16": (11, -24),
    "bfloat16": (8, -133),
    "float32": (24, -149),
    "float64": (53, -1074),
}
_DRAWS = 4


class Verification:
    """Compares, and keeps the largest difference.

    Attributes:
        largest: in units in the last place of a kernel's elements.
    """

    def __init__(self) -> None:
        self.largest = 0.0

    def fold(self, layers: Iterable[DOLayer], written: CheckpointFile, dtype: str | None) -> None:
        """Compare the written kernels with the layers that were read.

        Raises:
            VerifyError: one differs by more than the half unit that rounding once may cause.
        """
        for layer in layers:
            kernel = written.array(layer.weight)
            self._hold(layer.name, factors(layer), kernel, dtype or layer.dtype)

    def convert(
        self,
        layers: Iterable[tuple[Layer, DOConvSpec]],
        source: CheckpointFile,
        written: CheckpointFile,
    ) -> None:
        """The same for the written layers, and the kernels that were read."""
        for layer, spec in layers:
            if isinstance(layer, PlainLayer):
                kernel = source.array(layer.weight)
            else:
                assert isinstance(layer, OfficialDOLayer)
                kernel = from_canonical(spec, layer.load().kernel("float64"), layer.layout)
            keys = {name: sibling(layer.weight, name) for name in ("weight", "D", "W_extra")}
            wanted = ["weight", *["D"] * spec.has_D, *["W_extra"] * bool(spec.extra_columns)]
            arrays = {name: written.array(keys[name]) for name in wanted}
            self._hold(layer.name, Factors(spec, arrays), kernel, layer.dtype)

    def _hold(self, name: str, own: Factors, kernel: Array, dtype: str) -> None:
        found = difference(own, kernel, dtype)
        if not found <= 0.5:
            raise VerifyError(
                f"layer {name!r}: the written kernel differs by {found:.3g} ulp from the feature "
                "composition, not by at most 0.5; OUT was left as it was"
            )
        self.largest = max(self.largest, found)


class Factors(NamedTuple):
    """A layer's arrays as they are stored, in PyTorch's layout: weight, D, W_extra."""

    spec: DOConvSpec
    arrays: dict[str, Array]


def factors(layer: DOLayer) -> Factors:
    """Those of a layer in a file, which are read again."""
    if not isinstance(layer, OfficialDOLayer):
        arrays = {
            name: widened(raw(content), content.dtype)
            for name, content in layer.arrays.items()
            if name in ("weight", "D", "W_extra")
        }
        return Factors(layer.spec, arrays)
    own, K = layer.load(), layer.spec.K
    W, D = own.W, own.D
    if not layer.expressible:  # no features do what it does: hold it against its own kernel
        spec = DOConvSpec(layer.spec.in_channels, layer.spec.out_channels, layer.spec.kernel_size,
                          layer.spec.groups)  # fmt: skip
        W, D = own.kernel("float64"), None
        return Factors(spec, {"weight": W.reshape(*W.shape[:2], *spec.kernel_size)})
    arrays = {"weight": W[..., :K].reshape(*W.shape[:2], *layer.spec.kernel_size)}
    if D is not None:
        arrays["D"] = D
    if W.shape[2] > K:
        arrays["W_extra"] = W[..., K:]
    return Factors(layer.spec, arrays)


def difference(own: Factors, kernel: Array, dtype: str) -> float:
    """How far a kernel's output is from the layer's, in units in the last place of its elements.

    Args:
        own: the layer.
        kernel: of the same layout.
        dtype: what it was rounded to.
    """
    spec, arrays = own
    g, K, S = spec.groups, spec.K, spec.S
    I, O = spec.in_channels // g, spec.out_channels // g
    if kernel.shape != arrays["weight"].shape:
        return np.inf
    W = arrays["weight"].reshape(g, I if spec.transposed else O, -1, K)
    extra = arrays.get("W_extra")
    V = None if extra is None else extra.reshape(*W.shape[:3], S - K)
    kernel = kernel.reshape(W.shape)
    D = arrays.get("D")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(_DRAWS, g, 1 if spec.transposed else I, O if spec.transposed else 1, K))
    worst = 0.0
    # Groups, and in them the first axis, a few at a time.
    first = W.shape[1]
    step = max(1, ELEMENTS // max(1, W[0, 0].size))
    for group in range(0, g, max(1, step // first)):
        groups = slice(group, group + max(1, step // first))
        for start in range(0, first, step):
            rows = slice(start, start + step)
            part = x[:, groups]
            if D is None:
                d = None
            else:
                d = D.reshape(g, I, K, S)[groups, rows if spec.transposed else slice(None)]
                d = d.astype(np.float64)
            w = W[groups, rows].astype(np.float64)
            if V is not None:
                w = np.concatenate([w, V[groups, rows].astype(np.float64)], axis=3)
            k = kernel[groups, rows].astype(np.float64)
            worst = max(worst, _worst(part, d, w, k, dtype, transposed=spec.transposed))
    return worst


def _worst(
    x: Array, D: Array | None, W: Array, kernel: Array, dtype: str, *, transposed: bool
) -> float:
    """The largest difference for images of which one channel at a time is not zero."""
    # The axes: n draws, g groups, o outputs (of a transposed layer: inputs), a the other channels,
    # k elements, s columns of W.
    x = x[:, :, 0] if transposed else x[..., 0, :]  # (n, g, a, k)
    K, S = kernel.shape[-1], W.shape[-1]
    rest = np.zeros((*x.shape[:-1], S % K))

    def layer(f: Callable[[Array], Array]) -> Array:
        """The output, or what bounds its rounding: the same of all magnitudes."""
        same = f(np.concatenate([x] * (S // K) + [rest], axis=-1))
        if D is None:
            return np.asarray(np.einsum("ngas,goas->ngoa", same, f(W)))
        if transposed:  # D is of the inputs, which is the axis o here
            features = np.einsum("ngak,goks->ngoas", f(x), f(D))
            return np.asarray(np.einsum("ngoas,goas->ngoa", features + same[:, :, None], f(W)))
        features = np.einsum("ngak,gaks->ngas", f(x), f(D))
        return np.asarray(np.einsum("ngas,goas->ngoa", features + same, f(W)))

    y, magnitude = layer(np.asarray), layer(np.abs)
    ours = np.einsum("ngak,goak->ngoa", x, kernel)
    digits, smallest = _TYPES[dtype]
    _, exponents = np.frexp(kernel)
    units = np.ldexp(1.0, np.maximum(exponents - digits, smallest))
    unit = np.einsum("ngak,goak->ngoa", np.abs(x), units)
    # What the sums here and in composing may be off in float64.
    slack = (K + 3) * (S + 3) * 2.0**-53 * magnitude
    off = np.maximum(np.abs(ours - y) - slack, 0) / unit
    return float(np.max(off, initial=0.0)) if np.isfinite(off).all() else np.inf
