"""A convolution in a checkpoint: what it is now, and its arrays in the other form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doconv_cli.files.errors import UsageError
from doconv_core import DOConvSpec, fold_kernel, identity, over_parameterize
from doconv_core.kernel.layout import from_canonical
from doconv_core.official import OfficialLayer

Array = NDArray[Any]


class Stored(NamedTuple):
    """An array to store, and the name of its type in the file (bfloat16 comes as float32)."""

    array: Array
    dtype: str


@dataclass(frozen=True)
class PlainLayer:
    """A plain convolution: a weight of three to five axes.

    Attributes:
        name: its path in the model.
        weight: the weight's key.
        shape: the weight's shape.
        dtype: the weight's type.
        bias: elements of its bias.
        groups: None where the file does not tell.
    """

    name: str
    weight: str
    shape: tuple[int, ...]
    dtype: str
    bias: int
    groups: int | None = None

    kind: ClassVar[str] = "plain"

    @property
    def K(self) -> int:
        """Number of kernel elements."""
        return math.prod(self.shape[2:])

    @property
    def parameters(self) -> tuple[int, int]:
        """In the file, and folded."""
        count = math.prod(self.shape) + self.bias
        return count, count

    def spec(self, groups: int, *, transposed: bool) -> DOConvSpec:
        """The layer's sizes, with what its array does not tell.

        Raises:
            ValueError: the groups do not divide the channels.
        """
        first, second, *kernel_size = self.shape
        channels = (first, second * groups) if transposed else (second * groups, first)
        return DOConvSpec(*channels, tuple(kernel_size), groups, transposed=transposed)


@dataclass(frozen=True, eq=False)
class DOLayer:
    """A DO-Conv layer, its arrays in the canonical layout.

    Attributes:
        name: its path in the model.
        spec: its sizes; where the kernel's size is not known, the kernel is one axis.
        groups: None where the file does not tell.
        kernel_size: None where the file does not tell.
        W: (O, I/g, S).
        D: (I, K, S), or None for K = 1.
        bias: elements of its bias.
        dtype: the type of W in the file.
        weight: the key of the plain layer's weight.
        keys: those of the layer's own arrays in the file, its bias not included.
        looks_transposed: whether a transposed layer could have the same arrays.
        official: the layer as the authors' code has it, if it comes from there.
    """

    name: str
    spec: DOConvSpec
    groups: int | None
    kernel_size: tuple[int, ...] | None
    W: Array
    D: Array | None
    bias: int
    dtype: str
    weight: str
    keys: tuple[str, ...]
    looks_transposed: bool = False
    official: OfficialLayer | None = None

    @property
    def kind(self) -> str:
        """What it is, in words."""
        official = "official " if self.official else ""
        return official + self.spec.kind + (", transposed" if self.spec.transposed else "")

    @property
    def parameters(self) -> tuple[int, int]:
        """In the file, and folded."""
        folded = self.W[..., : self.spec.K].size + self.bias
        return self.W.size + (0 if self.D is None else self.D.size) + self.bias, folded

    def kernel(self, dtype: str) -> Array:
        """The folded kernel in PyTorch's layout, rounded once.

        Raises:
            ValueError: an array is not finite, or the kernel does not fit the type.
        """
        if self.official is not None:
            kernel = self.official.kernel(dtype)
        else:
            kernel = fold_kernel(self.spec, self.W, self.D, dtype, self.name)
        return pytorch_layout(self.spec, kernel)

    def plain(self, dtype: str | None) -> dict[str, Stored]:
        """The plain layer's weight, by key."""
        dtype = dtype or self.dtype
        return {self.weight: Stored(self.kernel(dtype), dtype)}

    def trainable(self) -> dict[str, Stored]:
        """What this library's layer stores, by key.

        An official layer that no DO-Conv layer can express starts anew from its kernel, with D
        zero: it computes the same.
        """
        W, D, K = self.W, self.D, self.spec.K
        if self.official is not None and not self.official.expressible:
            free = W[..., self.spec.S - self.spec.free_columns :]  # meets a D of zero as well
            W, D = over_parameterize(self.spec, self.official.kernel(self.dtype), free)
        arrays = {"weight": pytorch_layout(self.spec, W[..., :K])}
        if D is not None:
            arrays["D"] = D
        if self.spec.extra_columns:
            arrays["W_extra"] = pytorch_layout(self.spec, W[..., K:], spatial=False)
        return {
            sibling(self.weight, name): Stored(array, self.dtype) for name, array in arrays.items()
        }

    @property
    def offset(self) -> float:
        """Size of D relative to the identity: the ratio of their Frobenius norms."""
        if self.D is None:
            return 0.0
        norm = np.linalg.norm(self.D.astype(np.float64))
        unit = np.linalg.norm(identity(self.spec.K, self.spec.S))
        return float(norm / (math.sqrt(len(self.D)) * unit))


Layer = DOLayer | PlainLayer


def pytorch_layout(spec: DOConvSpec, array: Array, *, spatial: bool = True) -> Array:
    """A canonical array (O, I/g, columns) in the layout of PyTorch, which is Gluon's too."""
    return from_canonical(spec, array, "IOk" if spec.transposed else "OIk", spatial=spatial)


def sibling(weight: str, array: str) -> str:
    """The key of another array of a layer, from its weight's."""
    return weight.removesuffix("weight") + array


def trained_parameters(spec: DOConvSpec, bias: int) -> int:
    """Parameters of a DO-Conv layer."""
    return math.prod(spec.W_shape) + spec.has_D * math.prod(spec.D_shape) + bias


def check_kernel_sizes(layers: Iterable[Layer]) -> None:
    """Raise UsageError for layers whose kernel size is neither in the file nor said."""
    unknown = [x for x in layers if isinstance(x, DOLayer) and x.kernel_size is None]
    if unknown:
        raise UsageError(
            f"the file does not tell the kernel size of {len(unknown)} layers: pass --kernel-size "
            f"square, or --kernel-size NAME=SIZE, such as for {unknown[0].name!r} with "
            f"{unknown[0].spec.K} elements"
        )
