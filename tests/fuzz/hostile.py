"""Files written to do harm: to run code, to fill memory or the disk, to reach elsewhere."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.formats import sound

GIGA = 10**9


class Run:
    """A pickle that leaves a trace where it is read by a reader that obeys."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


def _op(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def _archive(data: bytes, records: dict[str, bytes] | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in {"byteorder": b"little", "version": b"3\n", **(records or {})}.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def _tensor(key: str, size: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A state dict of one weight and a D, in pickle's words."""
    from doconv_cli.files.formats.inert import Global, Object, Persistent, write

    def tensor(name: str, count: int, shape: Any, strides: Any) -> Any:
        pid = ("storage", Global("torch", "FloatStorage"), name, "cpu", count)
        hooks = Object(Global("collections", "OrderedDict"), ())
        rebuild = Global("torch._utils", "_rebuild_tensor_v2")
        return Object(rebuild, (Persistent(pid), 0, shape, strides, False, hooks))

    return write(
        {
            "a.weight": tensor(key, size, shape, strides),
            "a.D": tensor("1", 18, (1, 2, 2), (4, 2, 1)),
        }
    )


D = {"data/1": bytes(72)}


def _nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def _laughs() -> bytes:
    """Lists of the same list twice, thirty times: 2**30 leaves in a walk that does not look."""
    start = b"]q\x00"
    levels = b"".join(b"]q" + bytes([i + 1]) + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"e"
                      for i in range(60))  # fmt: skip
    return b"\x80\x02" + start + levels + b"."


def pickles(trace: Path) -> dict[str, bytes]:
    """Pickles that a .pt file may hold."""
    touch = ("open", str(trace), "w")
    return {
        "calls system": pickle.dumps({"a": Run(os.system, f"touch {trace}")}),
        "calls open": pickle.dumps({"a": Run(open, *touch[1:])}),
        "calls eval": pickle.dumps({"a": Run(eval, f"open({str(trace)!r}, 'w')")}),
        "calls getattr": pickle.dumps({"a": Run(getattr, trace, "touch")}),
        "a key that runs": pickle.dumps({(Run(os.system, f"touch {trace}"),): 1}),
        "inst": b"(S'touch " + str(trace).encode() + b"'\nios\nsystem\n.",
        "build on a global": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00xK\x01sb.",
        "a registry": b"\x80\x02\x82\x01.",
        "a persistent name": b"Psomething\n.",
        "bytearray of 8 EB": _op(b"\x96", struct.pack("<Q", 2**62), b"x"),
        "bytes of 8 EB": _op(b"\x8e", struct.pack("<Q", 2**62), b"x"),
        "text of 8 EB": _op(b"\x8d", struct.pack("<Q", 2**62), b"x"),
        "a frame of 8 EB": _op(b"\x95", struct.pack("<Q", 2**62), b"N"),
        "an integer of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        "an integer of -1 bytes": b"\x80\x02\x8b" + struct.pack("<i", -1) + b"x.",
        "a memo of 2**32": b"\x80\x02]r\xff\xff\xff\xff.",
        "bytearray(10**12)": pickle.dumps({"a": Run(bytearray, 10**12)}),
        "a long decimal": b"I" + b"9" * 10_000_000 + b"\n.",
        "nested 100,000 deep": _nested(100_000),
        "a billion laughs": _laughs(),
        "itself": b"\x80\x02]q\x00h\x00a.",
        "itself by key": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
        "nothing": b"",
        "only a stop": b".",
        "marks": b"(" * 100_000 + b".",
        "odd metadata": b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00_metadataK\x01sb.",
    }  # fmt: skip


def torch_files(trace: Path) -> dict[str, bytes]:
    """Files of PyTorch by name."""
    files = {f"archive: {name}": _archive(data) for name, data in pickles(trace).items()}
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    start += pickle.dumps({"little_endian": True}, 2)
    files |= {f"legacy: {name}": start + data for name, data in pickles(trace).items()}
    files |= {f"bare: {name}": data for name, data in pickles(trace).items()}
    dense = _tensor("0", 4, (2, 1, 2), (2, 2, 1))

    def sized(shape: tuple[int, ...], strides: tuple[int, ...] = (2, 2, 1), size: int = 4) -> bytes:
        """A weight of odd sizes whose storage has four numbers."""
        return _archive(_tensor("0", size, shape, strides), {**D, "data/0": bytes(16)})

    sizes: dict[str, bytes] = {
        "4 GB claimed": sized((GIGA // 2, 1, 2), size=GIGA),
        "no record": _archive(dense, D),
        "a record too short": _archive(dense, {**D, "data/0": bytes(15)}),
        "stride 0": sized((GIGA, 1, 2), (0, 0, 1)),
        "beyond the storage": sized((2, 1, 2), (4, 2, 1)),
        "a negative size": sized((-2, 1, 2)),
        "a negative stride": sized((2, 1, 2), (-2, 2, 1)),
        "sizes of 2**62": sized((2**62, 0, 2), (1, 1, 1)),
        "deflated bomb": _archive(
            dense, {**D, "data/0": bytes(10**7)}, compression=zipfile.ZIP_DEFLATED
        ),
        "big-endian": _archive(dense, {**D, "data/0": bytes(16), "byteorder": b"big"}),
        "records twice": _twice(dense),
        "records elsewhere": _archive(dense, {**D, "../../trace": bytes(16), "data/0": bytes(16)}),
    }  # fmt: skip
    return files | sizes


def _twice(data: bytes) -> bytes:
    """Two records of a name; readers differ in which they take."""
    whole = _archive(data, {**D, "data/0": bytes(16), "data/2": bytes(16)})
    return whole.replace(b"archive/data/2", b"archive/data/0")


def _header(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors_files() -> dict[str, bytes]:
    """Safetensors files by name."""

    def array(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    return {
        "header of 8 EB": _header({}, length=2**63),
        "4 GB claimed": _header({"a.D": array([GIGA], 0, 4 * GIGA)}),
        "overlapping": _header({"a.D": array([2], 0, 8), "b": array([2], 4, 12)}, bytes(12)),
        "a hole": _header({"a.D": array([2], 0, 8), "b": array([2], 16, 24)}, bytes(24)),
        "backwards": _header({"a.D": array([2], 8, 0)}, bytes(8)),
        "negative": _header({"a.D": array([2], -8, 0)}, bytes(8)),
        "bytes behind": _header({"a.D": array([2], 0, 8)}, bytes(9)),
        "empty but huge": _header({"a.D": array([0, 2**62], 0, 0)}),
        "shape of booleans": _header({"a.D": {**array([1], 0, 4), "shape": [True]}}, bytes(4)),
        "shape of floats": _header({"a.D": {**array([1], 0, 4), "shape": [1.0]}}, bytes(4)),
        "unknown type": _header({"a.D": array([1], 0, 4, "F1")}, bytes(4)),
        "type of a list": _header({"a.D": {**array([1], 0, 4), "dtype": []}}, bytes(4)),
        "nested json": _header(b"[" * 1_000_000),
        "escapes in a name": _header({"\x1b[31m.D": array([1], 0, 4)}, bytes(4)),
        "huge numbers": _header(b'{"a":{"shape":[1e999],"dtype":"F32","data_offsets":[0,0]}}'),
        "long number": _header(b'{"a":{"shape":[' + b"9" * 10000 + b"]}}"),
        "record of another kind": _header({"__metadata__": {"doconv": "[" * 100_000}}),
        "a layer of 2**60": _header(
            {"__metadata__": {"doconv": json.dumps({"version": 1, "layers": [
                {"name": "a", "in_channels": 2**30, "out_channels": 2**30, "kernel_size": [3, 3],
                 "groups": 1, "D_mul": 9, "transposed": False}]})},
             "a.W": array([1], 0, 4)}, bytes(4)
        ),
        "a kernel of 2**40 axes": _header(
            {"__metadata__": {"doconv": json.dumps({"version": 1, "layers": [
                {"name": "a", "in_channels": 1, "out_channels": 1,
                 "kernel_size": [2**20] * 100}]})},
             "a.W": array([1], 0, 4)}, bytes(4)
        ),
    }  # fmt: skip


def gluon_files() -> dict[str, bytes]:
    """Gluon's files by name."""

    def file(count: int, arrays: bytes, names: bytes) -> bytes:
        return struct.pack("<QQQ", 0x112, 0, count) + arrays + names

    def array(
        shape: tuple[int, ...], axes: int | None = None, kind: int = 0, flag: int = 0
    ) -> bytes:
        sizes = struct.pack(f"<i{len(shape)}q", len(shape) if axes is None else axes, *shape)
        return struct.pack("<Ii", 0xF993FAC9, kind) + sizes + struct.pack("<iii", 1, 0, flag)

    name, D = struct.pack("<QQ", 1, 3) + b"a_D", array((1, 2, 2)) + bytes(16)
    return {
        "2**63 arrays": file(2**63, b"", b""),
        "4 GB claimed": file(1, array((GIGA,)), name),
        "overflowing sizes": file(1, array((2**40, 2**40)), name),
        "a negative size": file(1, array((-5,)), name),
        "2**31 axes": file(1, array((), axes=2**31 - 1), name),
        "an unknown kind": file(1, array((1,), kind=7) + bytes(4), name),
        "an unknown type": file(1, array((1,), flag=99) + bytes(4), name),
        "a name of 8 EB": file(1, array((1,)) + bytes(4), struct.pack("<QQ", 1, 2**63)),
        "escapes in a name": file(1, D, struct.pack("<QQ", 1, 4) + b"\x1b[_D"),
        "a name of no text": file(1, D, struct.pack("<QQ", 1, 3) + b"\xff_D"),
        "more names": file(1, array((1,)) + bytes(4), struct.pack("<Q", 2) + name[8:] * 2),
        "the same name": file(2, (array((1,)) + bytes(4)) * 2, struct.pack("<Q", 2) + name[8:] * 2),
    }  # fmt: skip


def keras_files() -> dict[str, bytes]:
    """Archives of Keras by name."""

    def changed(change: Callable[[dict[str, bytes]], None], **options: Any) -> bytes:
        with zipfile.ZipFile(io.BytesIO(sound("keras"))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", **options) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def configured(text: bytes) -> bytes:
        return changed(lambda members: members.update({"config.json": text}))

    lambda_ = {"module": "keras.layers", "class_name": "Lambda", "config": {
        "function": {"class_name": "__lambda__", "config": {"code": "", "defaults": None,
                                                            "closure": None}}}}  # fmt: skip
    system = {"module": "os", "class_name": "system", "config": {}, "registered_name": None}
    return {
        "deflated bomb": changed(
            lambda members: members.update({"model.weights.h5": bytes(10**9)}),
            compression=zipfile.ZIP_DEFLATED, compresslevel=1,
        ),
        "a lambda": configured(json.dumps(lambda_).encode()),
        "os.system": configured(json.dumps(system).encode()),
        "config of a list": configured(b"[]"),
        "config of a number": configured(b"1"),
        "nested config": configured(b"[" * 1_000_000),
        "no config": changed(lambda members: members.pop("config.json")),
        "no weights": changed(lambda members: members.pop("model.weights.h5")),
        "weights of text": changed(lambda members: members.update({"model.weights.h5": b"text"})),
        "a member elsewhere": changed(lambda members: members.update({"../../trace": b"x"})),
    }  # fmt: skip


def hostile(trace: Path) -> dict[str, tuple[str, bytes]]:
    """Every hostile file by name: the ending that it has, and its bytes.

    Args:
        trace: what those that run code would make.
    """
    kinds = {".pt": torch_files(trace), ".safetensors": safetensors_files(),
             ".params": gluon_files(), ".keras": keras_files()}  # fmt: skip
    return {
        f"{suffix} {name}": (suffix, data)
        for suffix, own in kinds.items()
        for name, data in own.items()
    }
