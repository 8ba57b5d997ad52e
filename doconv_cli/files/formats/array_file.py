"""A checkpoint that is a mapping of arrays: layers are found by name and shape, and replaced."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.arrays import Shape
from doconv_cli.files.layers.find import find_layers
from doconv_cli.files.layers.layers import Array, DOLayer, Layer, PlainLayer, Stored, sibling
from doconv_core import DOConvSpec, messages
from doconv_core.files.atomic import replacing

FLOATS = ("float16", "bfloat16", "float32", "float64")


class ArrayFile(CheckpointFile):
    """A file of named arrays.

    Attributes:
        arrays: all of them, in the host's own type, in the file's order.
    """

    separators = "."
    source = ""
    arrays: dict[str, Any]
    recorded: Mapping[str, bool]
    shapes: Mapping[str, Shape]

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.recorded = {}
        self.arrays = self.read(path)
        self.shapes = {
            key: tuple(array.shape)
            for key, array in self.arrays.items()
            if self.dtype(key) in FLOATS
        }

    @abstractmethod
    def read(self, path: Path) -> dict[str, Any]:
        """Read the file."""

    @abstractmethod
    def write(self, arrays: dict[str, Any], temporary: Path) -> None:
        """Write a file like this one, with other arrays."""

    @abstractmethod
    def dtype(self, key: str) -> str:
        """The name of an array's type; anything not among FLOATS is no convolution's."""

    @abstractmethod
    def numpy(self, key: str) -> Array:
        """An array of one of FLOATS, exactly; bfloat16 as float32."""

    @abstractmethod
    def native(self, stored: Stored) -> Any:
        """An array in the host's own type."""

    def layers(self, hints: Hints) -> list[Layer]:
        return find_layers(self, hints)

    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None) -> None:
        self._replace({layer.keys: layer.plain(dtype) for layer in layers}, out)

    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path) -> None:
        changes: dict[tuple[str, ...], dict[str, Any]] = {}
        for layer, spec in layers:
            if isinstance(layer, PlainLayer):
                zeros = Stored(np.zeros(spec.D_shape, np.float32), layer.dtype)
                # the very array, so that what it carries beside its values stays
                weight = {layer.weight: self.arrays[layer.weight]}
                changes[layer.weight,] = {**weight, sibling(layer.weight, "D"): zeros}
            else:
                changes[layer.keys] = layer.trainable()
        self._replace(changes, out)

    def kernel(self, weight: str) -> Array:
        return self.numpy(weight).astype(np.float64)

    def _replace(self, changes: Mapping[tuple[str, ...], Mapping[str, Any]], out: Path) -> None:
        """Write the file with some keys' arrays replaced, the new ones where the first was."""
        starts = {keys[0]: new for keys, new in changes.items()}
        gone = {key for keys in changes for key in keys}
        made = {key for new in changes.values() for key in new}
        if taken := made & (self.arrays.keys() - gone):
            raise ValueError(messages.files.bad_file(self.path, f"it has another {min(taken)!r}"))
        arrays: dict[str, Any] = {}
        for key, array in self.arrays.items():
            if key in starts:
                for name, new in starts[key].items():
                    arrays[name] = self.native(new) if isinstance(new, Stored) else new
            elif key not in gone:
                arrays[key] = array
        with replacing(out) as temporary:
            self.write(arrays, temporary)
