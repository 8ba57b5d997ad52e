"""Safetensors files, one array after the other: a state dict's, and a folder of shards."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats.array_file import ArrayFile, Other, Stored, Written
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.layers.entries import Content, Entry, OpenFile
from doconv_core import messages
from doconv_core.files.atomic import making_folder
from doconv_core.files.header import read_header
from doconv_core.files.reading import read_bytes

_TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.(safetensors|bin)")


class SafetensorsFile(ArrayFile):
    """A state dict in safetensors, with the header's metadata kept."""

    separators = "."
    source = "torch"

    def read(self, path: Path) -> dict[str, Stored]:
        if _SHARD.fullmatch(path.name) or _index_beside(path):
            raise UsageError(
                f"{str(path)!r} is one of several files of a model, and a layer's arrays may lie "
                f"in others: pass the folder, {str(path.parent)!r}"
            )
        self._metadata, contents = read_contents(path)
        return dict(contents)

    def write(self, contents: list[Written], temporary: Path) -> None:
        write_contents({new.key: content_of(new) for new in contents}, self._metadata, temporary)


def read_contents(path: Path) -> tuple[dict[str, str], dict[str, Entry]]:
    """A file's metadata and arrays, of which only the header is read."""
    source = OpenFile(path)
    header = read_header(source.file, path)
    return header.metadata, {
        key: Entry(
            _TYPES.get(own.dtype, own.dtype), own.shape, source, own.begin, own.end - own.begin
        )
        for key, own in header.arrays.items()
    }


def write_contents(contents: Mapping[str, Content], metadata: Mapping[str, str], path: Path) -> int:
    """Write a file one array after the other, the widest types first; the arrays' bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    # As the library does, for arrays that begin at multiples of their items.
    order = sorted(contents, key=lambda key: (-_itemsize(contents[key]), key))
    position = 0
    for key in order:
        content = contents[key]
        header[key] = {
            "dtype": _NAMES.get(content.dtype, content.dtype),
            "shape": list(content.shape),
            "data_offsets": [position, position + content.nbytes],
        }
        position += content.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in order:  # a loop's variable would keep the array while the next one is made
            file.writelines(contents[key].pieces())
    return position


def content_of(new: Written) -> Content:
    """What to write; there is nothing but arrays in these files."""
    assert not isinstance(new.content, Other)
    return new.content


def _itemsize(content: Content) -> int:
    count = 1
    for size in content.shape:
        count *= size
    return content.nbytes // count if count else 0


def _index_beside(path: Path) -> bool:
    """Whether an index in the same folder names the file."""
    for index in path.parent.glob("*.index.json"):
        try:
            if path.name in json.loads(read_bytes(index))["weight_map"].values():
                return True
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return False


class ShardedFolder(ArrayFile):
    """A folder of safetensors files with an index, as Hugging Face's libraries save large models.

    OUT is such a folder too: a kernel goes where its W was, and the index says so. The other files
    of the folder, configurations and tokenizers, are not copied.

    Args:
        path: the folder, or the index in it.
    """

    source = "torch"

    def read(self, path: Path) -> dict[str, Stored]:
        self._index = find_index(path)
        try:
            index = json.loads(read_bytes(self._index))
            places: dict[str, str] = dict(index["weight_map"])
            self._index_metadata = dict(index.get("metadata") or {})
        except (ValueError, KeyError, TypeError, RecursionError) as fault:
            raise self._refuse("it is no index of arrays") from fault
        names = list(dict.fromkeys(places.values()))
        if not all(isinstance(name, str) and name == Path(name).name for name in names):
            raise self._refuse("it names files elsewhere")
        self._shards = {name: read_contents(self._index.parent / name) for name in names}
        held = {key: name for name, (_, own) in self._shards.items() for key in own}
        count = sum(len(own) for _, own in self._shards.values())
        if held != places or count != len(held):
            wrong = sorted(held.items() ^ places.items())[:1] or [("an array", "twice")]
            raise self._refuse(f"it does not fit its files, such as for {wrong[0][0]!r}")
        self._place = places
        return {key: self._shards[name][1][key] for key, name in places.items()}

    def write(self, contents: list[Written], temporary: Path) -> None:
        places = {new.key: self._place[new.origin] for new in contents}
        total = 0
        for name, (metadata, _) in self._shards.items():
            own = {new.key: content_of(new) for new in contents if places[new.key] == name}
            total += write_contents(own, metadata, temporary / name)
        about = {**self._index_metadata, "total_size": total}
        if "total_parameters" in about:
            about["total_parameters"] = sum(_elements(content_of(new).shape) for new in contents)
        index = {"metadata": about, "weight_map": dict(sorted(places.items()))}
        text = json.dumps(index, indent=2, sort_keys=False) + "\n"
        (temporary / self._index.name).write_text(text, encoding="utf-8")

    def replacing(self, out: Path) -> Any:
        return making_folder(out)

    def written(self, out: Path) -> CheckpointFile:
        return ShardedFolder(out, self.options)

    def _refuse(self, fault: str) -> ValueError:
        return ValueError(messages.files.bad_file(self._index, fault))


def find_index(path: Path) -> Path:
    """The index of a folder, or the path itself if it is one.

    Raises:
        UsageError: there is none, or several.
    """
    if path.is_file():
        return path
    found = sorted(path.glob("*.safetensors.index.json"))
    if len(found) != 1:
        several = "several indices: pass one of them" if found else "no *.safetensors.index.json"
        raise UsageError(f"the folder {str(path)!r} has {several}")
    return found[0]


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
