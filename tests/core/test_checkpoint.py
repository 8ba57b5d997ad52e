"""The neutral file: what is written is read, whole or not at all, and damage is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from doconv_core import DOConvSpec, LayerState, State

pytest.importorskip("safetensors", reason="neutral files need safetensors")
from doconv_core.checkpoint import load, save

ROOT = Path(__file__).parents[2]


def layer(spec: DOConvSpec, *, bias: bool = True, dtype: str = "float32") -> LayerState:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    return LayerState(
        spec,
        draw(*spec.W_shape),
        draw(*spec.D_shape) if spec.has_D else None,
        draw(spec.out_channels) if bias else None,
    )


STATES: dict[str, State] = {
    "order": {name: layer(DOConvSpec(2, 4, (3, 3))) for name in ("stem", "b", "a.0", "a", "a.W")},
    "grouped": {"": layer(DOConvSpec(4, 8, (3, 2), groups=2, D_mul=14))},
    "depthwise": {"layer one": layer(DOConvSpec(4, 8, (5,), groups=4), bias=False)},
    "transposed": {"up/conv": layer(DOConvSpec(4, 4, (2, 2, 2), transposed=True))},
    "pointwise": {"é": layer(DOConvSpec(4, 6, (1, 1)))},
    "half": {"conv": layer(DOConvSpec(2, 2, (2,)), dtype="float16")},
    "double": {"conv": layer(DOConvSpec(2, 2, (2,)), dtype="float64")},
    "nothing": {},
}
every_state = pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())


def assert_equal(actual: State, expected: State) -> None:
    assert list(actual) == list(expected)
    for name, own in expected.items():
        assert actual[name].spec == own.spec
        for array in ("W", "D", "bias"):
            one, other = getattr(actual[name], array), getattr(own, array)
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_array_equal(one, other, strict=True)


@every_state
def test_what_is_written_is_read(tmp_path: Path, state: State) -> None:
    save(tmp_path / "file", state)
    assert_equal(load(tmp_path / "file"), state)


@every_state
def test_the_same_state_gives_the_same_bytes_in_every_process(tmp_path: Path, state: State) -> None:
    save(tmp_path / "ours", state)
    copy = (
        "import sys; from doconv_core.checkpoint import load, save;"
        "save(sys.argv[2], load(sys.argv[1]))"
    )
    for seed in "12":
        command = [sys.executable, "-c", copy, tmp_path / "ours", tmp_path / seed]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed})
        assert (tmp_path / seed).read_bytes() == (tmp_path / "ours").read_bytes()


@pytest.mark.parametrize(
    "awkward",
    [
        lambda array: np.asfortranarray(array),
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    ],
    ids=["strided", "big-endian", "every-second"],
)
def test_arrays_are_stored_by_value(
    tmp_path: Path, awkward: Callable[[np.ndarray], np.ndarray]
) -> None:
    plain = layer(DOConvSpec(2, 4, (3,)))
    other = LayerState(plain.spec, awkward(plain.W), awkward(plain.D), awkward(plain.bias))
    save(tmp_path / "file", {"conv": other})
    assert_equal(load(tmp_path / "file"), {"conv": plain})


def test_loaded_arrays_are_the_caller_s(tmp_path: Path) -> None:
    save(tmp_path / "file", STATES["grouped"])
    load(tmp_path / "file")[""].W[:] = 0
    assert_equal(load(tmp_path / "file"), STATES["grouped"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a\0b": layer(DOConvSpec(1, 1, (2,)))}, "printable"),
        ({"a\nb": layer(DOConvSpec(1, 1, (2,)))}, "printable"),
        ({"a\udc80": layer(DOConvSpec(1, 1, (2,)))}, "printable"),
        ({"a": layer(DOConvSpec(1, 1, (2,)), dtype="int32")}, "`a.W` must be float16"),
        ({"a": layer(DOConvSpec(1, 1, (2,)), dtype="complex64")}, "`a.W` must be float16"),
    ],
    ids=["NUL", "newline", "not-unicode", "integers", "complex"],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, state: State, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "file", state)
    assert not list(tmp_path.iterdir())


# --- damage: a header, then the data -----------------------------------------------------


def entry(shape: list[int], begin: int = 0, dtype: str = "F32") -> dict:
    size = {"F32": 4, "BF16": 2}[dtype] * int(np.prod(shape))
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}


def record(version: object = 1, **sizes: object) -> dict[str, str]:
    sizes = {"in_channels": 1, "out_channels": 1, "kernel_size": [2], **sizes}
    return {"doconv": json.dumps({"version": version, "layers": [{"name": "a", **sizes}]})}


def container(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


W, D = entry([1, 1, 2]), entry([1, 2, 2], 8)
SOUND = {"__metadata__": record(), "a.W": W, "a.D": D}
DATA = bytes(24)
REPEATED = json.dumps({"__metadata__": record(), "a.W": W})[:-1] + ', "a.W": ' + json.dumps(W) + "}"
TWICE = {
    "doconv": record()["doconv"].replace("}]", "}, {" + record()["doconv"].split("[{")[1][:-1])
}

DAMAGED = {
    "empty": (b"", "cut off"),
    "short": (b"1234", "cut off"),
    "header-cut-off": (container(SOUND)[:40], "cut off"),
    "data-cut-off": (container(SOUND, DATA[:-1]), "incomplete"),
    "too-much-data": (container(SOUND, DATA + b"0"), "incomplete|no array"),
    "header-longer-than-the-file": (b"\xff" * 8 + b"{}", "cut off"),
    "header-too-long": ((100_000_001).to_bytes(8, "little") + bytes(100_000_001), "cut off"),
    "a-text-file": (b"name: conv\nkind: plain\n" * 9, "cut off"),
    "a-zip-archive": (b"PK\x03\x04" + bytes(60), "cut off|json"),
    "not-json": (container(b"{]"), "not json"),
    "not-unicode": (container(b'{"\xff": 1}'), "not json"),
    "endless-nesting": (container(b"[" * 200_000), "not json"),
    "not-an-object": (container([]), "not a json object"),
    "array-twice": (container(REPEATED.encode(), bytes(8)), "'a.W' is given twice"),
    "name-with-NUL": (container({**SOUND, "a\0.W": entry([0])}, DATA), "unprintable"),
    "huge-empty-array": (
        container({**SOUND, "b": {**entry([0, 2**62]), "data_offsets": [24, 24]}}, DATA),
        "sizes of 'b'",
    ),
    "negative-size": (container({**SOUND, "b": entry([-1])}, DATA), "sizes of 'b'"),
    "no-shape": (container({**SOUND, "b": {"dtype": "F32"}}, DATA), "sizes of 'b'"),
    "overlap": (container({**SOUND, "a.D": entry([1, 2, 2], 4)}, DATA), "does not begin where"),
    "bfloat16": (container({"a.W": entry([1], dtype="BF16")}, bytes(2)), "type BF16"),
    "metadata-not-texts": (container({**SOUND, "__metadata__": {"doconv": 1}}, DATA), "metadata"),
    "metadata-not-an-object": (container({**SOUND, "__metadata__": []}, DATA), "metadata"),
    "not-ours": (container({"a.W": W}, bytes(8)), "not written by"),
    "later-version": (container({**SOUND, "__metadata__": record(2)}, DATA), "version 2"),
    "record-not-json": (container({**SOUND, "__metadata__": {"doconv": "?"}}, DATA), "record"),
    "record-not-layers": (container({**SOUND, "__metadata__": {"doconv": "[]"}}, DATA), "record"),
    "unknown-size": (container({**SOUND, "__metadata__": record(stride=2)}, DATA), "record"),
    "layer-twice": (container({**SOUND, "__metadata__": TWICE}, DATA), "'a' is recorded twice"),
    "unsound-groups": (
        container({**SOUND, "__metadata__": record(groups=2)}, DATA),
        "layer 'a': `groups` must divide",
    ),
    "no-W": (container({"__metadata__": record(), "a.D": entry([1, 2, 2])}, bytes(16)),
             "a.W is missing"),
    "no-D": (container({"__metadata__": record(), "a.W": W}, bytes(8)), "`D` must have shape"),
    "wrong-shape": (
        container({**SOUND, "a.D": {**D, "shape": [2, 2, 1]}}, DATA),
        r"layer 'a': `D` must have shape \(1, 2, 2\)",
    ),
    "unexpected-array": (
        container({**SOUND, "b.W": {**W, "data_offsets": [24, 32]}}, DATA + bytes(8)),
        r"does not name \['b.W'\]",
    ),
}  # fmt: skip


def test_the_damaged_files_are_sound_but_for_their_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(container(SOUND, DATA))
    assert list(load(tmp_path / "file")) == ["a"]


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_named_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "some file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"cannot read {str(path)!r}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        save(tmp_path, {})
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        save(tmp_path / "missing" / "file", {})
