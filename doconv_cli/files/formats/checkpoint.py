"""A checkpoint file, whatever its framework: its convolutions, and writing it with other ones."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from doconv_cli.files.formats.limits import Limits
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.entries import Array
from doconv_cli.files.layers.layers import DOLayer, Layer
from doconv_core import DOConvSpec
from doconv_core.files.atomic import replacing

Check = Callable[["CheckpointFile"], None] | None
"""Looks at what was written before it becomes OUT; None for nobody."""


@dataclass(frozen=True)
class Options:
    """What was said of files, not of layers.

    Attributes:
        model: the model of a file that holds weights only.
        allowed: names of classes that a checkpoint of PyTorch may hold beside the harmless ones.
        limits: how much a file may make of its bytes.
        drop_optimizer: whether to leave the optimizers' states out.
    """

    model: Path | None = None
    allowed: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    drop_optimizer: bool = False


class CheckpointFile(ABC):
    """One file, read.

    Args:
        path: the file.
        options: how.

    Attributes:
        notes: what became of all that is no layer, a line each, once it was written.
        sections: where its state dicts with convolutions are.
        at_optimizer: where its optimizers are that over-parameterize a plain model's training.

    Raises:
        ValueError: it is damaged, or not of this format.
        OSError: it cannot be read.
        ImportError: its framework is not installed.
        UsageError: it is larger than the limits.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.options = path, options
        self.notes: list[str] = []
        self.sections = [""]
        self.at_optimizer: list[str] = []

    @abstractmethod
    def layers(self, hints: Hints) -> list[Layer]:
        """The convolutions, in the file's order."""

    def unplaced(self, layers: Iterable[Layer]) -> list[str]:
        """What may be a D and is of none of these layers."""
        return []

    @abstractmethod
    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None, check: Check) -> None:
        """Write the file with these layers plain; ``dtype`` is the kernels', None for their own."""

    @abstractmethod
    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path, check: Check) -> None:
        """Write the file with these layers as DO-Conv layers of these sizes."""

    @abstractmethod
    def array(self, key: str) -> Array:
        """An array in PyTorch's layout, exactly; a plain layer's ``weight`` is its kernel's key."""

    def replacing(self, out: Path) -> AbstractContextManager[Path]:
        """A temporary file that becomes OUT, readable for whom the source is."""
        return replacing(out, stat.S_IMODE(self.path.stat().st_mode))

    def written(self, out: Path) -> CheckpointFile:
        """Read what :meth:`fold` or :meth:`convert` wrote."""
        return type(self)(out, self.options)
