"""One view of an over-parameterized layer, whatever its family, and its folded kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_torch.tensors.initialization import Spec

ArraysKey = tuple[int, int, int]


class OverParameterized(NamedTuple):
    """The parameters of one over-parameterized convolution, and the module they are in."""

    name: str
    module: Any
    spec: Spec
    weight: Tensor
    D: Tensor | None
    W_extra: Tensor | None
    family: Any = None

    @property
    def key(self) -> ArraysKey:
        """Equal for layers that share all their arrays."""
        return id(self.weight), id(self.D), id(self.W_extra)

    @property
    def layout(self) -> str:
        return "IOk" if self.spec.expert.transposed else "OIk"

    def read_W(self, to_numpy: Callable[[Tensor], NDArray[Any]]) -> NDArray[Any]:
        """Canonical W, (O, I/g, S); of experts, (E, O, I/g, S)."""
        arrays = [self.weight] if self.W_extra is None else [self.weight, self.W_extra]
        columns = [to_canonical(self.spec, to_numpy(array), self.layout) for array in arrays]
        return np.concatenate(columns, axis=-1)

    def write_W(self, W: NDArray[Any]) -> list[tuple[Tensor, Tensor]]:
        """What to copy for a canonical W: ``weight`` and ``W_extra``, each with its part."""
        K = self.spec.K
        found = [(self.weight, self.to_layout(W[..., :K]))]
        if self.W_extra is not None:
            extra = from_canonical(self.spec, W[..., K:], self.layout, spatial=False)
            found.append((self.W_extra, to_tensor(extra)))
        return found

    def to_layout(self, kernel: NDArray[Any]) -> Tensor:
        """A canonical kernel (O, I/g, K) in the shape of ``weight``."""
        return to_tensor(from_canonical(self.spec, kernel, self.layout))


def to_float64(tensor: Tensor) -> NDArray[np.float64]:
    """Exact, for every floating-point type."""
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def is_writable(tensor: Tensor) -> bool:
    """Whether an array can take other values in its place.

    One that was made in inference mode cannot outside it, nor one whose elements share memory.
    """
    frozen = tensor.is_inference() and not torch.is_inference_mode_enabled()
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return not frozen and all(stride or size == 1 for size, stride in sizes)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """A copy: torch warns of arrays that are read only, and refuses negative strides."""
    return torch.from_numpy(array.copy())


def folded_kernel(layer: OverParameterized) -> Tensor:
    """The kernel in the shape of ``weight`` and rounded once to its type, on the CPU.

    Raises:
        ValueError: an array is not finite, or the kernel does not fit the type.
    """
    if layer.weight.is_meta:  # nothing to compute, but the structure can be folded
        return torch.empty_like(layer.weight)
    D = None if layer.D is None else to_float64(layer.D)
    dtype = str(layer.weight.dtype).removeprefix("torch.")
    kernel = fold_kernel(layer.spec, layer.read_W(to_float64), D, dtype, layer.name)
    return layer.to_layout(kernel).to(layer.weight.dtype)  # exact; bfloat16 came as float32
