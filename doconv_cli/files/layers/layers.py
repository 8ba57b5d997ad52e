"""A convolution in a checkpoint: what it is now, and its arrays in the other form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from doconv_cli.files.errors import UsageError
from doconv_cli.files.layers.composing import fold_in_pieces, offset_size
from doconv_cli.files.layers.entries import Array, Content, Made, held, zeros
from doconv_cli.text import counted
from doconv_core import DOConvSpec, over_parameterize
from doconv_core.kernel.layout import from_canonical
from doconv_core.official import OfficialLayer


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

    def trainable(self, spec: DOConvSpec) -> dict[str, Content | str]:
        """What this library's layer stores, by key; a text is another key, kept as it is."""
        return {
            self.weight: self.weight,
            sibling(self.weight, "D"): zeros(spec.D_shape, self.dtype),
        }


@dataclass(frozen=True, eq=False)
class DOLayer:
    """A DO-Conv layer.

    Attributes:
        name: its path in the model.
        spec: its sizes; where the kernel's size is not known, the kernel is one axis.
        groups: None where the file does not tell.
        kernel_size: None where the file does not tell.
        bias: elements of its bias.
        dtype: the type of W in the file.
        weight: the key of the plain layer's weight.
        keys: those of the layer's own arrays in the file, its bias not included.
        arrays: its weight, D and W_extra in PyTorch's layout, where there are any.
        ambiguous: whether a transposed layer of the same arrays would have another kernel.
    """

    name: str
    spec: DOConvSpec
    groups: int | None
    kernel_size: tuple[int, ...] | None
    bias: int
    dtype: str
    weight: str
    keys: tuple[str, ...]
    arrays: dict[str, Content] = field(repr=False)
    ambiguous: bool = False

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return self.spec.kind + (", transposed" if self.spec.transposed else "")

    @property
    def parameters(self) -> tuple[int, int]:
        """In the file, and folded."""
        folded = math.prod(self.spec.kernel_shape) + self.bias
        return trained_parameters(self.spec, self.bias), folded

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the plain layer's weight, in PyTorch's layout."""
        O, a, _ = self.spec.W_shape
        first = (a * self.spec.groups, O // self.spec.groups) if self.spec.transposed else (O, a)
        return (*first, *self.spec.kernel_size)

    def plain(self, dtype: str | None) -> dict[str, Content | str]:
        """The plain layer's weight, by key: the kernel, composed in float64 and rounded once.

        What :attr:`Made.make` raises: ValueError for an array that is not finite, or a kernel that
        does not fit the type.
        """
        dtype = dtype or self.dtype

        def kernel() -> Array:
            return fold_in_pieces(self.name, self.spec, self.arrays, self.dtype, dtype)

        return {self.weight: Made(dtype, self.shape, kernel)}

    def trainable(self, spec: DOConvSpec) -> dict[str, Content | str]:
        """What this library's layer stores: what it is."""
        return {key: key for key in self.keys}

    @property
    def offset(self) -> float:
        """Size of D relative to the identity: the ratio of their Frobenius norms."""
        return offset_size(self.spec, self.arrays.get("D"))


@dataclass(frozen=True, eq=False)
class OfficialDOLayer(DOLayer):
    """One of the authors' layers. Its arrays are read together, for their rules mix them.

    Attributes:
        expressible: whether a DO-Conv layer can compute the same with the same arrays.
        layout: of the host's plain kernel.
        load: reads it.
    """

    expressible: bool = True
    layout: str = "OIk"
    load: Callable[[], OfficialLayer] = field(kw_only=True, repr=False)

    @property
    def kind(self) -> str:
        return f"official {super().kind}"

    @property
    def shape(self) -> tuple[int, ...]:
        O, a, _ = self.spec.W_shape
        sizes = self.spec.kernel_size
        return (*sizes, a, O) if self.layout == "kIO" else (O, a, *sizes)

    def plain(self, dtype: str | None) -> dict[str, Content | str]:
        dtype = dtype or self.dtype

        def make() -> Array:
            kernel = from_canonical(self.spec, self.load().kernel(dtype), self.layout)
            return held(kernel, dtype).make()

        return {self.weight: Made(dtype, self.shape, make)}

    def trainable(self, spec: DOConvSpec) -> dict[str, Content | str]:
        """What this library's layer stores, by key.

        A layer that no DO-Conv layer can express starts anew from its kernel, with D zero: it
        computes the same.
        """
        theirs, spec, K = self.load(), self.spec, self.spec.K
        W, D = theirs.W, theirs.D
        if not self.expressible:
            free = W[..., spec.S - spec.free_columns :]  # meets a D of zero as well
            W, D = over_parameterize(spec, theirs.kernel(self.dtype), free)
        arrays = {"weight": from_canonical(spec, W[..., :K], self.layout)}
        if D is not None:
            arrays["D"] = D
        if spec.extra_columns:
            arrays["W_extra"] = from_canonical(spec, W[..., K:], self.layout, spatial=False)
        return {
            sibling(self.weight, name): held(array, self.dtype) for name, array in arrays.items()
        }

    @property
    def offset(self) -> float:
        D = self.load().D
        return offset_size(self.spec, None if D is None else held(D, "float64"))


Layer = DOLayer | PlainLayer


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
            f"the file does not tell the kernel size of {counted(len(unknown), 'layer')}: pass "
            f"--kernel-size square, or --kernel-size NAME=SIZE, such as for {unknown[0].name!r} "
            f"with {unknown[0].spec.K} elements"
        )


def check_unambiguous(layers: Iterable[DOLayer]) -> None:
    """Raise UsageError for layers that may be transposed ones, with another kernel."""
    names = [layer.name for layer in layers if layer.ambiguous]
    if names:
        raise UsageError(
            f"the file does not tell whether {counted(len(names), 'layer')} of as many outputs as "
            "inputs are ordinary or transposed, and their kernels would differ: "
            f"{', '.join(map(repr, names))}; pass --transposed NAME for those that are (NAME may "
            "hold * and ?), or --transposed none"
        )
