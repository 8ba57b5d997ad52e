"""Pickles that no program writes: read without running anything, and refused in a sentence."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import safetensors.torch
import torch

from doconv_cli.files.formats import inert
from doconv_cli.files.formats.inert import DamagedError
from tests.cli.command import fail, succeed

START, NAMED = b"\x80\x02", b"cbuiltins\nset\n"
DAMAGED = {
    "an ordered dict of no pairs": (b"ccollections\nOrderedDict\n]K\x01a\x85R.", "no pairs"),
    "a call of a number": (b"K\x01)R.", "calls what is no function"),
    "a call with a number": (NAMED + b"K\x01R.", "calls what is no function"),
    "an object of a number": (b"K\x01)\x81.", "no class"),
    "a state for a number": (b"K\x01}b.", "gives a state"),
    "a state for nothing": (b"}b.", "gives a state"),
    "a class by its number": (b"\x82\x01.", "registry of classes"),
    "bytes beyond the end": (b"\x96" + struct.pack("<Q", 2**40) + b".", "damaged"),
    "a line without an end": (b"cbuiltins", "damaged"),
    "nothing": (b"", "damaged"),
}


def read(content: bytes) -> object:
    return inert.read(io.BytesIO(content), len(content))


@pytest.mark.parametrize(("content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_pickle(content: bytes, said: str) -> None:
    with pytest.raises(DamagedError, match=said):
        read(START + content)


def test_bytes_that_may_change_are_read() -> None:
    assert read(START + b"\x96" + struct.pack("<Q", 3) + b"abc.") == bytearray(b"abc")


def test_what_protocol_2_cannot_express_is_not_written() -> None:
    made = read(b"\x80\x04" + NAMED + b"(t}X\x01\x00\x00\x00aK\x01s\x92.")
    assert isinstance(made, inert.Object)
    assert made.kwargs == {"a": 1}
    with pytest.raises(DamagedError, match="named arguments"):
        inert.write(made)


def test_what_has_no_end_is_not_written() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(DamagedError, match="nested too deeply"):
        inert.write(nested)


def legacy(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """A file as PyTorch wrote it before 1.6, with some bytes replaced once."""
    path = tmp_path / "legacy.pt"
    torch.save({"conv.weight": torch.ones(1, 1, 3, 3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


LEGACY = {
    "big-endian": (b"little_endianq\x02\x88", b"little_endianq\x02\x89", "big-endian"),
    "another magic number": (b"l\xfc\x9c\x46\xf9", b"l\xfc\x9c\x46\xf8", "not a file"),
    "another protocol": (b".\x80\x02M\xe9\x03.", b".\x80\x02M\xe8\x03.", "not a file"),
}


@pytest.mark.parametrize(("old", "new", "said"), LEGACY.values(), ids=LEGACY)
def test_a_damaged_file_of_old(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    assert said in fail(1, "inspect", legacy(tmp_path, old, new))


def test_a_storage_of_old_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "legacy.pt"
    torch.save({"conv.weight": torch.ones(1, 1, 3, 3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = len(content) - 9 * 4 - 8
    assert content[at : at + 8] == struct.pack("<Q", 9)
    path.write_bytes(content[:at] + struct.pack("<Q", 10) + content[at + 8 :])
    assert "claims more bytes than there are" in fail(1, "inspect", path)


INDICES = {
    "no JSON": "{",
    "no map": json.dumps({"weight_map": [1]}),
    "of other files": json.dumps({"weight_map": {"a": "other.safetensors"}}),
}


@pytest.mark.parametrize("content", INDICES.values(), ids=INDICES)
def test_an_index_beside_a_file_that_is_not_its_own(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"conv.weight": torch.ones(1, 1, 3, 3)}, path)
    (tmp_path / "model.safetensors.index.json").write_text(content)
    succeed("inspect", path)
