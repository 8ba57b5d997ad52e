"""A checkpoint that is a mapping of arrays: layers are found by name and shape, and replaced."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from doconv_cli.files.formats.checkpoint import Check, CheckpointFile, Options
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.arrays import looks_like_D
from doconv_cli.files.layers.composing import raw
from doconv_cli.files.layers.entries import RAW, Array, Content, widened
from doconv_cli.files.layers.find import find_layers
from doconv_cli.files.layers.layers import DOLayer, Layer
from doconv_core import DOConvSpec, messages


class Other(NamedTuple):
    """What is no array that can be computed with; it is written as it was."""

    node: Any
    fault: str = ""
    """Why it is none, if it is named like one."""


Stored = Content | Other


class Written(NamedTuple):
    """What to write under a key, and the key in whose place it stands."""

    key: str
    content: Stored
    origin: str


class ArrayFile(CheckpointFile):
    """A file of named arrays.

    Attributes:
        contents: everything in it, in its order.
        arrays: those among it that a convolution can have.
        recorded: whether a layer is transposed, where the file says it.
    """

    separators = "."
    source = ""
    dtypes = tuple(RAW)
    """A convolution's types that the format can hold."""

    recorded: Mapping[str, bool]

    def __init__(self, path: Path, options: Options) -> None:
        super().__init__(path, options)
        self.recorded = {}
        self.contents = self.read(path)
        self.arrays = {
            key: content
            for key, content in self.contents.items()
            if not isinstance(content, Other) and content.dtype in RAW
        }

    @abstractmethod
    def read(self, path: Path) -> dict[str, Stored]:
        """Read what the file says of its arrays."""

    @abstractmethod
    def write(self, contents: list[Written], temporary: Path) -> None:
        """Write a file like this one, with other arrays."""

    def layers(self, hints: Hints) -> list[Layer]:
        return find_layers(self, hints)

    def unplaced(self, layers: Iterable[Layer]) -> list[str]:
        known = {key for layer in layers if isinstance(layer, DOLayer) for key in layer.keys}
        return [
            key
            for key, content in self.contents.items()
            if key not in known and self._is_D(key, content)
        ]

    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None, check: Check) -> None:
        self._replace([(layer, layer.plain(dtype)) for layer in layers], out, check)

    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path, check: Check) -> None:
        self._replace([(layer, layer.trainable(spec)) for layer, spec in layers], out, check)

    def array(self, key: str) -> Array:
        content = self.arrays[key]
        return widened(raw(content), content.dtype)

    def _is_D(self, key: str, content: Stored) -> bool:
        if not looks_like_D(key, self.separators):
            return False
        return bool(content.fault) if isinstance(content, Other) else len(content.shape) == 3

    def _replace(
        self, changes: list[tuple[Layer, dict[str, Content | str]]], out: Path, check: Check
    ) -> None:
        """Write the file with some layers' arrays replaced: D and W_extra behind the bias."""
        gone = {key for layer, _ in changes for key in own_keys(layer)}
        place = {key: i for i, key in enumerate(self.contents)}
        weights: dict[str, list[tuple[str, Content | str]]] = {}
        beside: dict[str, list[tuple[str, Content | str]]] = {}
        for layer, new in changes:
            first, bias = own_keys(layer)[0], layer.weight.removesuffix("weight") + "bias"
            behind = bias if bias in self.contents else first
            # A parametrized layer's weight is behind its bias, a plain one's before it.
            at = first if layer.weight in gone else min(first, behind, key=place.__getitem__)
            for key, content in new.items():
                if not isinstance(content, str) and content.dtype not in self.dtypes:
                    raise ValueError(messages.files.no_bfloat16(self.path))
                if key in self.contents and key not in gone:
                    raise ValueError(messages.files.bad_file(self.path, f"it has another {key!r}"))
                if key == layer.weight:
                    weights.setdefault(at, []).append((key, content))
                else:
                    beside.setdefault(behind, []).append((key, content))
        contents: list[Written] = []
        for key in self.contents:
            own = [] if key in gone else [(key, key)]
            for name, content in (*weights.get(key, ()), *own, *beside.get(key, ())):
                same = self.contents[content] if isinstance(content, str) else content
                contents.append(Written(name, same, key))
        self.prepare(contents, changes)
        with self.replacing(out) as temporary:
            self.write(contents, temporary)
            if check is not None:
                check(self.written(temporary))

    def prepare(
        self, contents: list[Written], changes: list[tuple[Layer, dict[str, Content | str]]]
    ) -> None:
        """What else has to change with the layers; raises before anything is written."""


def own_keys(layer: Layer) -> tuple[str, ...]:
    """Those of a layer's arrays but its bias, its weight's first."""
    return layer.keys if isinstance(layer, DOLayer) else (layer.weight,)
