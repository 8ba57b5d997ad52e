"""``doconv inspect``, ``fold`` and ``convert`` on Gluon's parameter files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("doconv_gluon.mxnet", reason="Gluon's files need MXNet", exc_type=ImportError)
import doconv_gluon
from doconv_core import DOConvSpec, fold_kernel
from doconv_core.official import read
from doconv_gluon.mxnet import mx
from tests.cli.command import fail, succeed

nn = mx.gluon.nn


def plain_network() -> Any:
    mx.random.seed(0)
    network = nn.HybridSequential(prefix="net_")
    with network.name_scope():
        network.add(
            nn.Conv2D(8, 3, in_channels=3, use_bias=False),
            nn.BatchNorm(in_channels=8),
            nn.Conv2D(6, (2, 3), groups=2, in_channels=8),
            nn.Conv2D(4, 1, in_channels=6),
            nn.Conv2DTranspose(5, 2, in_channels=4),
        )
    network.initialize()
    return network


def trained(network: Any, **options: Any) -> Any:
    network = doconv_gluon.convert(network, **options)
    for name, parameter in network.collect_params().items():
        if name.endswith(("D", "W_extra")):
            parameter.set_data(mx.nd.random.normal(scale=0.1, shape=parameter.shape))
    return network


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "by structure": lambda network, path: network.save_parameters(str(path)),
    "by name": lambda network, path: network.collect_params().save(str(path)),
    "symbol": lambda network, path: mx.nd.save(
        str(path), {f"arg:{name}": p.data() for name, p in network.collect_params().items()}
    ),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())


def assert_same(actual: Path, expected: Path) -> None:
    ours, theirs = mx.nd.load(str(actual)), mx.nd.load(str(expected))
    assert ours.keys() == theirs.keys()
    for key, array in theirs.items():
        assert ours[key].dtype == array.dtype
        np.testing.assert_array_equal(ours[key].asnumpy(), array.asnumpy(), err_msg=key)


@every_writer
@pytest.mark.parametrize("D_mul", [None, 9], ids=["D_mul=K", "D_mul=9"])
def test_a_folded_file_is_that_of_the_folded_network(
    tmp_path: Path, D_mul: int | None, write: Callable[[Any, Path], None]
) -> None:
    network = trained(plain_network(), D_mul=D_mul)
    file, out, expected = (tmp_path / f"{name}.params" for name in ("file", "out", "expected"))
    write(network, file)
    done = succeed("fold", file, out, "--verify", "--json")
    assert done.err == ""
    assert len(done.json["folded"]) == 3
    assert done.json["largest_ulps"] <= 0.5
    write(doconv_gluon.fold(network), expected)
    assert_same(out, expected)


@every_writer
def test_a_converted_file_is_that_of_the_converted_network(
    tmp_path: Path, write: Callable[[Any, Path], None]
) -> None:
    network = plain_network()
    file, out, expected = (tmp_path / f"{name}.params" for name in ("file", "out", "expected"))
    write(network, file)
    rows = succeed("inspect", file, "--json").json["layers"]
    names = {tuple(row["W"]): row["name"] for row in rows}
    groups = ("--groups", f"{names[6, 4, 2, 3]}=2", "--groups", "1")
    succeed("convert", file, out, *groups, "--transposed", names[4, 5, 2, 2], "--verify")
    write(doconv_gluon.convert(network), expected)
    assert_same(out, expected)


def test_a_folded_file_loads_where_doconv_is_not_installed(tmp_path: Path) -> None:
    network = trained(plain_network())
    network.save_parameters(str(tmp_path / "file.params"))
    succeed("fold", tmp_path / "file.params", tmp_path / "out.params")
    code = """
import sys, warnings
for name in ("doconv_core", "doconv_gluon", "doconv_cli"):
    sys.modules[name] = None  # importing it now raises ImportError
import numpy
numpy.bool = bool  # mxnet 1.9.1 reads it while it is imported
import mxnet as mx
nn = mx.gluon.nn
network = nn.HybridSequential()
network.add(nn.Conv2D(8, 3, in_channels=3, use_bias=False), nn.BatchNorm(in_channels=8),
            nn.Conv2D(6, (2, 3), groups=2, in_channels=8), nn.Conv2D(4, 1, in_channels=6),
            nn.Conv2DTranspose(5, 2, in_channels=4))
network.load_parameters(sys.argv[1])
numpy.save(sys.argv[2], network(mx.nd.ones((1, 3, 9, 9))).asnumpy())
"""
    output = tmp_path / "output.npy"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "out.params"), str(output)]
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = doconv_gluon.fold(network)(mx.nd.ones((1, 3, 9, 9))).asnumpy()
    np.testing.assert_array_equal(np.load(output), expected)


@every_writer
def test_the_layers_of_a_graph_are_found(
    tmp_path: Path, write: Callable[[Any, Path], None]
) -> None:
    """A SymbolBlock's parameters are called after its nodes: as SSD's and FPN's backbones."""
    source, x = mx.gluon.nn.HybridSequential(prefix="net_"), mx.nd.ones((1, 3, 9, 9))
    with source.name_scope():
        source.add(nn.Conv2D(8, 3, in_channels=3), nn.Conv2D(4, 2, groups=2, in_channels=8))
    data = mx.sym.var("data", dtype="float32")
    graph = mx.gluon.SymbolBlock(source(data), [data])
    network = nn.HybridSequential(prefix="all_")
    network.add(graph, nn.Conv2D(2, 3, in_channels=4, prefix="head_"))
    network.initialize()
    network(x)
    network = trained(network)
    write(network, tmp_path / "file.params")
    out, expected = tmp_path / "out.params", tmp_path / "expected.params"
    done = succeed("fold", tmp_path / "file.params", out, "--verify", "--json")
    assert len(done.json["folded"]) == 3
    write(doconv_gluon.fold(network), expected)
    assert_same(out, expected)


# --- the authors' layers: weight (O, I/g, kh, kw), D (K, K, I) ----------------------------


def official(I: int, O: int, size: tuple[int, int], groups: int = 1) -> dict[str, np.ndarray]:
    rng, K = np.random.default_rng(0), size[0] * size[1]
    shapes = {"weight": (O, I // groups, *size), "D": (K, K, I), "bias": (O,)}
    return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def checkpoint(**layers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}_{a}": array for name, own in layers.items() for a, array in own.items()}


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    stored = {}
    for name, array in arrays.items():
        stored[name] = mx.nd.empty(array.shape, dtype=array.dtype)
        stored[name][:] = array
    mx.nd.save(str(path), stored)
    return path


def test_an_official_file_becomes_the_host_s(tmp_path: Path) -> None:
    # with as many channels as kernel elements, `nine` looks like this library's: `stem` decides
    arrays = checkpoint(
        stem=official(4, 9, (3, 3)), nine=official(9, 6, (3, 3)), grouped=official(6, 4, (2, 2), 2)
    )
    file, out = write(tmp_path / "file.params", arrays), tmp_path / "out.params"
    done = succeed("fold", file, out, "--verify", "--json")
    assert set(done.json["folded"]) == {"stem", "nine", "grouped"}
    plain = {key: array.asnumpy() for key, array in mx.nd.load(str(out)).items()}
    assert plain.keys() == {key for key in arrays if not key.endswith("_D")}
    for name, layer in read(arrays, "gluon").items():
        kernel = plain[f"{name}_weight"]
        np.testing.assert_array_equal(kernel, layer.kernel().reshape(kernel.shape))


def test_a_converted_official_file_is_this_library_s(tmp_path: Path) -> None:
    arrays = checkpoint(grouped=official(6, 4, (2, 2), 2))
    file, out = write(tmp_path / "file.params", arrays), tmp_path / "out.params"
    succeed("convert", file, out, "--verify")
    ours = {key: array.asnumpy() for key, array in mx.nd.load(str(out)).items()}
    state = read(arrays, "gluon")["grouped"].state()
    assert state.spec == DOConvSpec(6, 4, (2, 2), groups=2)
    np.testing.assert_array_equal(ours["grouped_D"], state.D)
    np.testing.assert_array_equal(ours["grouped_weight"], arrays["grouped_weight"])


NINE = checkpoint(nine=official(9, 6, (3, 3)))
MIXED = NINE | checkpoint(theirs=official(4, 5, (3, 3))) | {
    "ours_weight": np.ones((5, 4, 3, 3), "float32"), "ours_D": np.ones((4, 9, 9), "float32"),
}  # fmt: skip
OPTIONS = {"theirs": ("nine", True), "a pattern": ("n*", True), "ours": ("none", False)}


@pytest.mark.parametrize("arrays", [NINE, MIXED], ids=["alone", "beside both"])
@pytest.mark.parametrize(("option", "official"), OPTIONS.values(), ids=OPTIONS.keys())
def test_whose_a_layer_is_that_may_be_anybody_s_is_asked_for(
    tmp_path: Path, option: str, official: bool, arrays: dict[str, np.ndarray]
) -> None:
    file, out = write(tmp_path / "file.params", arrays), tmp_path / "out.params"
    for command in (("inspect", file), ("fold", file, out)):
        error = fail(2, *command)
        assert "1 layer of as many inputs as kernel elements" in error
        assert "'nine'; pass --official NAME" in error
    succeed("fold", file, out, "--official", option, "--verify")
    kernel = mx.nd.load(str(out))["nine_weight"].asnumpy()
    if official:
        expected = read(NINE, "gluon")["nine"].kernel()
    else:
        expected = fold_kernel(DOConvSpec(9, 6, (3, 3)), NINE["nine_weight"].reshape(6, 9, 9),
                               NINE["nine_D"], "float32", "nine")  # fmt: skip
    np.testing.assert_array_equal(kernel, expected.reshape(kernel.shape))


def test_a_name_that_needs_no_option_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "file.params", checkpoint(stem=official(4, 5, (3, 3))))
    error = fail(2, "fold", file, tmp_path / "out.params", "--official", "stem")
    assert "--official: 'stem' fits no layer that needs it" in error


# --- what goes wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("command", ["inspect", "fold", "convert"])
@pytest.mark.parametrize("length", [0, 5, 100, -5])
def test_a_damaged_file_is_refused(tmp_path: Path, length: int, command: str) -> None:
    file = write(tmp_path / "file.params", checkpoint(stem=official(3, 4, (3, 3))))
    file.write_bytes(file.read_bytes()[:length])
    out = () if command == "inspect" else (tmp_path / "out.params",)
    assert "not a Gluon parameter file" in fail(1, command, file, *out)


def test_arrays_without_names_are_refused(tmp_path: Path) -> None:
    mx.nd.save(str(tmp_path / "file.params"), [mx.nd.ones(3)])
    assert "no names" in fail(1, "inspect", tmp_path / "file.params")


REPLACED = {
    "two arrays of one name": (b"conv1_weight", b"conv0_weight", "'conv0_weight' is given twice"),
    "another beginning": ((0x112).to_bytes(8, "little"), bytes(8), "not a Gluon parameter file"),
}


@pytest.mark.parametrize(("old", "new", "said"), REPLACED.values(), ids=REPLACED)
def test_bytes_replaced_in_a_file(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    file = tmp_path / "model.params"
    mx.nd.save(str(file), {f"conv{i}_weight": mx.nd.ones((2, 2, 3, 3)) for i in range(2)})
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, new))
    assert said in fail(1, "inspect", file)


def test_bfloat16_cannot_be_stored(tmp_path: Path) -> None:
    file = write(tmp_path / "file.params", checkpoint(stem=official(3, 4, (3, 3))))
    error = fail(1, "fold", file, tmp_path / "out.params", "--dtype", "bfloat16")
    assert "cannot hold bfloat16" in error


def test_MXNet_is_not_needed(tmp_path: Path) -> None:
    network = trained(plain_network())
    file, out = tmp_path / "file.params", tmp_path / "out.params"
    network.save_parameters(str(file))
    code = """
import sys
for name in ("mxnet", "torch", "keras", "safetensors"):
    sys.modules[name] = None
from doconv_cli.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "fold", str(file), str(out), "--verify"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    doconv_gluon.fold(network).save_parameters(str(tmp_path / "expected.params"))
    assert_same(out, tmp_path / "expected.params")


OTHERS: dict[str, Callable[[], Any]] = {
    "int8": lambda: mx.nd.ones((2, 3), dtype="int8"),
    "int64": lambda: mx.nd.ones((2, 3), dtype="int64"),
    "row-sparse": lambda: mx.nd.ones((4, 3)).tostype("row_sparse"),
    "CSR": lambda: mx.nd.eye(4).tostype("csr"),
    "scalar-like": lambda: mx.nd.ones((1,)),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS.keys())
def test_arrays_of_other_kinds_are_kept(tmp_path: Path, make: Callable[[], Any]) -> None:
    file, out = tmp_path / "file.params", tmp_path / "out.params"
    ours = trained(plain_network())._collect_params_with_prefix()
    arrays = {name: parameter.data() for name, parameter in ours.items()}
    mx.nd.save(str(file), {"first": make(), **arrays, "last": make()})
    succeed("fold", file, out)
    kept = mx.nd.load(str(out))
    for name in ("first", "last"):
        assert kept[name].stype == make().stype
        assert kept[name].dtype == make().dtype
        np.testing.assert_array_equal(kept[name].asnumpy(), make().asnumpy())
