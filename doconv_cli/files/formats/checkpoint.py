"""A checkpoint file, whatever its framework: its convolutions, and writing it with other ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import Array, DOLayer, Layer
from doconv_core import DOConvSpec


class CheckpointFile(ABC):
    """One file, read.

    Args:
        path: the file.

    Raises:
        ValueError: it is damaged, or not of this format.
        OSError: it cannot be read.
        ImportError: its framework is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def layers(self, hints: Hints) -> list[Layer]:
        """The convolutions, in the file's order."""

    @abstractmethod
    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None) -> None:
        """Write the file with these layers plain; ``dtype`` is the kernels', None for their own."""

    @abstractmethod
    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path) -> None:
        """Write the file with these layers as DO-Conv layers of these sizes."""

    @abstractmethod
    def kernel(self, weight: str) -> Array:
        """The kernel of a plain layer in float64, in PyTorch's layout; ``weight`` is its key."""

    def written(self, out: Path) -> CheckpointFile:
        """Read what :meth:`fold` or :meth:`convert` wrote."""
        return type(self)(out)
