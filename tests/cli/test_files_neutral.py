"""``doconv inspect`` and ``fold`` on neutral files, which need no framework."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors", reason="neutral files need safetensors")
import safetensors.numpy

from doconv_core import DOConvSpec, LayerState, State, fold_kernel
from doconv_core.checkpoint import save
from doconv_core.kernel.layout import from_canonical
from tests.cli.command import fail, succeed


def layer(spec: DOConvSpec, *, bias: bool = True, dtype: str = "float32") -> LayerState:
    rng = np.random.default_rng(0)
    shapes = [spec.W_shape, spec.D_shape, (spec.out_channels,)]
    W, D, b = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return LayerState(spec, W, D if spec.has_D else None, b if bias else None)


STATE: State = {
    "stem": layer(DOConvSpec(3, 8, (3, 3))),
    "block.grouped": layer(DOConvSpec(4, 6, (2, 3), groups=2, D_mul=8), bias=False),
    "block.up": layer(DOConvSpec(4, 6, (2, 2), groups=2, transposed=True)),
    "pointwise": layer(DOConvSpec(4, 6, (1, 1)), dtype="float64"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save(tmp_path / "file.safetensors", STATE)
    return tmp_path / "file.safetensors"


def test_it_folds_to_the_names_and_layout_of_pytorch(file: Path, tmp_path: Path) -> None:
    done = succeed("fold", file, tmp_path / "out.safetensors", "--verify", "--json")
    assert done.err == ""
    assert done.json["largest_ulps"] <= 0.5
    plain = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    biases = {f"{name}.bias" for name, own in STATE.items() if own.bias is not None}
    assert plain.keys() == {f"{name}.weight" for name in STATE} | biases
    for name, own in STATE.items():
        layout = "IOk" if own.spec.transposed else "OIk"
        expected = from_canonical(own.spec, fold_kernel(own.spec, own.W, own.D), layout)
        np.testing.assert_array_equal(plain[f"{name}.weight"], expected, strict=True)
        if own.bias is not None:
            np.testing.assert_array_equal(plain[f"{name}.bias"], own.bias, strict=True)


def test_the_only_layer_of_a_root_has_plain_keys(tmp_path: Path) -> None:
    save(tmp_path / "file.safetensors", {"": STATE["stem"]})
    succeed("fold", tmp_path / "file.safetensors", tmp_path / "out.safetensors")
    plain = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    assert plain.keys() == {"weight", "bias"}


def test_inspect_reads_the_sizes_from_the_record(file: Path) -> None:
    rows = succeed("inspect", file, "--json").json["layers"]
    assert [row["name"] for row in rows] == list(STATE)
    assert [row["groups"] for row in rows] == [1, 2, 2, 1]
    assert rows[2]["kind"] == "DO-GConv, transposed"


def test_there_is_nothing_to_convert(file: Path, tmp_path: Path) -> None:
    assert "no plain convolution" in fail(2, "convert", file, tmp_path / "out.safetensors")


def test_it_holds_what_numpy_holds(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert "cannot hold bfloat16" in fail(1, "fold", file, out, "--dtype", "bfloat16")
    succeed("fold", file, out, "--dtype", "float16", "--verify")
    assert safetensors.numpy.load_file(out)["stem.weight"].dtype == np.float16


def test_a_damaged_record_is_refused(tmp_path: Path, file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'\\"version\\": 1', b'\\"version\\": 7'))
    assert "version 7" in fail(1, "inspect", file)
