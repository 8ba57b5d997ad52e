"""What ``torch.save`` writes, read and written without torch: a pickle, and the bytes of storages.

Two containers: an archive of ``data.pkl`` and one record a storage (since torch 1.6), and before it
a row of pickles with the storages behind them. Source: ``torch.serialization``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from doconv_cli.files import messages as format_messages
from doconv_cli.files.formats import inert
from doconv_cli.files.formats.inert import DamagedError, Global, Object, Persistent
from doconv_cli.files.formats.limits import Limits
from doconv_cli.files.layers.entries import Content, Entry, OpenFile

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DEEPEST = 200
_ALIGNMENT = 64  # torch's own, for mapping a file into memory

_STORAGES = {
    "FloatStorage": ("float32", 4), "DoubleStorage": ("float64", 8), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1), "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16), "UntypedStorage": ("bytes", 1),
    "QInt8Storage": ("qint8", 1), "QUInt8Storage": ("quint8", 1), "QInt32Storage": ("qint32", 4),
}  # fmt: skip
_OF_TYPE = {dtype: name for name, (dtype, _) in _STORAGES.items()}
_REBUILD = "torch._utils._rebuild_tensor_v2"


class Storage(NamedTuple):
    """Where the numbers of some tensors lie, as a pickle says it."""

    dtype: str
    itemsize: int
    key: str
    location: str
    size: int
    """In elements."""


class Tensor(NamedTuple):
    """An ordinary tensor, as a pickle says it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class Archive:
    """A file's content.

    Attributes:
        tree: the pickle, inert (:mod:`doconv_cli.files.formats.inert`).
        source: the file.
        records: a storage's key to its first byte and its number of bytes.
    """

    tree: Any
    source: OpenFile
    records: dict[str, tuple[int, int]]

    def entry(self, tensor: Tensor) -> Entry:
        """Where a tensor lies."""
        itemsize = tensor.storage.itemsize
        start, _ = self.records[tensor.storage.key]
        start += tensor.offset * itemsize
        last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
        count = 0 if 0 in tensor.shape else last + 1
        ordered = tensor.strides == contiguous(tensor.shape) or count < 2
        return Entry(
            tensor.storage.dtype,
            tensor.shape,
            self.source,
            start,
            count * itemsize,
            None if ordered else tensor.strides,
        )


def read(path: Path, limits: Limits) -> Archive:
    """Read a file's pickle; its storages stay where they are.

    Raises:
        DamagedError: it is damaged or no such file, or claims what it does not hold.
        OSError: it cannot be read.
    """
    return read_open(OpenFile(path), limits)


def read_open(source: OpenFile, limits: Limits) -> Archive:
    """The same of an open file."""
    start = source.file.read(4)
    archive = _zipped(source, limits) if start == b"PK\x03\x04" else _legacy(source, limits)
    for _, node in walk(archive.tree):
        tensor_of(node)  # which checks its sizes
        if isinstance(node, Persistent):
            storage = storage_of(node)
            if storage.key not in archive.records:
                raise DamagedError(f"the record of storage {storage.key!r} is missing")
            if storage.size * storage.itemsize > archive.records[storage.key][1]:
                raise DamagedError(f"storage {storage.key!r} claims more bytes than there are")
    return archive


def _zipped(source: OpenFile, limits: Limits) -> Archive:
    try:
        with zipfile.ZipFile(source.file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as fault:
        raise DamagedError(format_messages.NOT_TORCH) from fault
    records: dict[str, tuple[int, int]] = {}
    total = 0
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise DamagedError("its records are compressed, which torch.save never does")
        name = member.filename.partition("/")[2]
        if name in records:
            raise DamagedError(f"it has two records {name!r}")
        header = bytearray(30)
        total += member.file_size
        if member.header_offset + len(header) > source.size or total > source.size:
            raise DamagedError(f"record {name!r} claims more bytes than there are")
        source.read_into(header, member.header_offset)
        lengths = header[26] + (header[27] << 8) + header[28] + (header[29] << 8)
        start = member.header_offset + len(header) + lengths
        if header[:4] != b"PK\x03\x04" or start + member.file_size > source.size:
            raise DamagedError(f"record {name!r} claims more bytes than there are")
        records[name] = (start, member.file_size)
    if "data.pkl" not in records:
        raise DamagedError(format_messages.NOT_TORCH)
    if "byteorder" in records and records["byteorder"][1] != len("little"):
        raise DamagedError("its numbers are big-endian")
    start, size = records["data.pkl"]
    limits.check_pickle(size)
    tree = inert.read(_at(source, start), start + size)
    storages = {key[5:]: place for key, place in records.items() if key.startswith("data/")}
    return Archive(tree, source, storages)


def _at(source: OpenFile, start: int) -> BinaryIO:
    file = source.file
    file.seek(start)
    return file


def _legacy(source: OpenFile, limits: Limits) -> Archive:
    file, size = source.file, source.size
    try:
        known = inert.read(file, min(size, 1000)) == _MAGIC
        known = known and inert.read(file, min(size, 1000)) == _PROTOCOL
    except DamagedError as fault:
        raise DamagedError(format_messages.NOT_TORCH) from fault
    if not known:
        raise DamagedError(format_messages.NOT_TORCH)
    system = inert.read(file, size)
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise DamagedError("its numbers are big-endian")
    limits.check_pickle(0)
    start = file.tell()
    tree = inert.read(file, size)
    limits.check_pickle(file.tell() - start)
    keys = inert.read(file, size)
    sizes = {storage.key: storage.itemsize for storage in map(storage_of, persistents(tree))}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedError("its list of storages is damaged")
    records: dict[str, tuple[int, int]] = {}
    for key in keys:
        length = file.read(8)
        start = file.tell()
        nbytes = int.from_bytes(length, "little") * sizes.get(key, 1)
        if len(length) < 8 or start + nbytes > size or key in records:
            raise DamagedError(f"storage {key!r} claims more bytes than there are")
        records[key] = (start, nbytes)
        file.seek(start + nbytes)
    return Archive(tree, source, records)


# --- nodes of a tree -----------------------------------------------------------------------


def children(node: Any) -> Iterator[tuple[str, Any]]:
    """A node's parts, each with what to add to its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield "", key
            yield f"/{_text(key)}", value
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield f"/{index}", value
    elif isinstance(node, (set, frozenset)):
        for value in node:
            yield "/", value
    elif isinstance(node, Persistent):
        yield "", node.pid
    elif isinstance(node, Object):
        yield "", node.function
        for part in (node.args, node.kwargs, node.state):
            for value in part or ():
                if isinstance(value, (dict, tuple, list)):  # its attributes
                    yield from children(value)
                else:
                    yield "", value
        yield from children(node.items)
        for key, value in node.pairs.items():
            yield "", key
            yield f"/{_text(key)}", value


def walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every node once, with its path, in the tree's order.

    Raises:
        DamagedError: it is nested so deeply that nobody can mean it.
    """
    seen: set[int] = set()
    rest: list[tuple[str, Any, int]] = [("", tree, 0)]
    while rest:
        path, node, depth = rest.pop()
        if depth > _DEEPEST:
            raise DamagedError("it is nested too deeply")
        if isinstance(node, (str, bytes, int, float, type(None))) or id(node) in seen:
            continue
        seen.add(id(node))
        yield path.lstrip("/"), node
        rest.extend(reversed([(path + more, child, depth + 1) for more, child in children(node)]))


def persistents(tree: Any) -> Iterator[Persistent]:
    """Every node that stands for a storage."""
    return (node for _, node in walk(tree) if isinstance(node, Persistent))


def _text(key: Any) -> str:
    return str(key) if isinstance(key, (str, int)) else type(key).__name__


def storage_of(node: Persistent) -> Storage:
    """What a node says of its storage.

    Raises:
        DamagedError: it is no storage's.
    """
    pid = node.pid
    if isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage":
        _, kind, key, location, size = pid[:5]
        known = _STORAGES.get(kind.name) if isinstance(kind, Global) else None
        whole = len(pid) == 5 or pid[5] is None
        if (
            known
            and isinstance(key, str)
            and isinstance(location, str)
            and _is_size(size)
            and whole
        ):
            return Storage(*known, key, location, size)
    raise DamagedError("it has storages of an unknown kind")


def tensor_of(node: Any) -> Tensor | None:
    """What a node says of an ordinary tensor; None for any other node, and for any other tensor.

    Raises:
        DamagedError: its sizes reach beyond its storage.
    """
    while (
        isinstance(node, Object)
        and node.args
        and _name(node).startswith("torch._utils._rebuild_parameter")
    ):
        node = node.args[0]
    if not isinstance(node, Object) or _name(node) not in (
        _REBUILD, "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v3"
    ):  # fmt: skip
        return None
    if len(node.args) < 4 or not isinstance(node.args[0], Persistent):
        raise DamagedError("a tensor of no storage")
    node_storage, offset, shape, strides = node.args[:4]
    storage = storage_of(node_storage)
    if _name(node).endswith("v3"):  # whose type is said apart
        return None
    if len(node.args) > 6 and node.args[6]:  # conjugated or negative: its numbers lie otherwise
        return None
    shape, strides = (_sizes_of(sizes) for sizes in (shape, strides))
    if shape is None or strides is None or len(shape) != len(strides) or not _is_size(offset):
        raise DamagedError("a tensor of no sizes")
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and offset + last >= storage.size:
        raise DamagedError("a tensor reaches beyond its storage")
    return Tensor(storage, offset, shape, strides)


def _name(node: Object) -> str:
    return str(node.function) if isinstance(node.function, Global) else ""


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 <= size < 2**60


def _sizes_of(sizes: Any) -> tuple[int, ...] | None:
    if isinstance(sizes, Object) and _name(sizes) == "torch.Size" and sizes.args:
        sizes = sizes.args[0]
    if not isinstance(sizes, (tuple, list)) or not all(map(_is_size, sizes)) or len(sizes) > 64:
        return None
    return tuple(sizes)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """C's strides, in elements."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def new_tensor(content: Content, location: str) -> tuple[Object, Persistent]:
    """The node of a tensor with a storage of its own, and that storage's."""
    kind, size = Global("torch", _OF_TYPE[content.dtype]), 1
    for n in content.shape:
        size *= n
    storage = Persistent(("storage", kind, f"new {id(content)}", location, size))
    hooks = Object(Global("collections", "OrderedDict"), ())
    module, _, name = _REBUILD.rpartition(".")
    made = Object(
        Global(module, name),
        (storage, 0, content.shape, contiguous(content.shape), False, hooks),
    )
    return made, storage


# --- writing -------------------------------------------------------------------------------


def write(archive: Archive, new: dict[str, Content], temporary: Path) -> None:
    """Write a changed archive; storages that nothing refers to any more are left out.

    Args:
        archive: what was read; its storages get other keys.
        new: the contents of storages that are not in it, by key.
        temporary: the file.
    """
    keys: dict[str, str] = {}
    for node in persistents(archive.tree):
        storage = storage_of(node)
        key = keys.setdefault(storage.key, str(len(keys)))
        node.pid = (*node.pid[:2], key, *node.pid[3:5])
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as out:
        _record(out, "data.pkl", [memoryview(inert.write(archive.tree))])
        _record(out, "byteorder", [memoryview(b"little")])
        for old, key in keys.items():
            if old in new:
                _record(out, f"data/{key}", new[old].pieces(), new[old].nbytes)
            else:
                start, nbytes = archive.records[old]
                entry = Entry("bytes", (), archive.source, start, nbytes)
                _record(out, f"data/{key}", entry.pieces(), nbytes)
        _record(out, "version", [memoryview(b"3\n")])


def _record(out: zipfile.ZipFile, name: str, pieces: Any, nbytes: int | None = None) -> None:
    info = zipfile.ZipInfo(f"archive/{name}")
    info.file_size = len(pieces[0]) if nbytes is None else nbytes
    long = info.file_size * 1.05 > zipfile.ZIP64_LIMIT
    assert out.fp is not None
    start = out.fp.tell() + 30 + len(info.filename) + 20 * long + 4
    padding = -start % _ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    with out.open(info, "w", force_zip64=long) as record:
        for piece in pieces:
            record.write(piece)
