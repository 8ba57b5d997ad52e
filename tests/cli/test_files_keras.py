"""``doconv inspect``, ``fold`` and ``convert`` on Keras's model files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="Keras's files need Keras")
import keras

import doconv_tf
from tests.cli.command import fail, succeed

# Keras 3.15's Variable lacks an argument that NumPy 2 asks for.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def plain_model() -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((9, 9, 4)),
            keras.layers.Conv2D(8, 3, name="stem"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise"),
            keras.layers.Conv2D(4, 1, name="pointwise"),
            keras.layers.Conv2DTranspose(4, 2, name="up"),
        ]
    )


def trained(model: Any, **options: Any) -> Any:
    model = doconv_tf.convert(model, **options)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name in ("D", "W_extra"):
            variable.assign(rng.normal(scale=0.1, size=variable.shape))
    return model


def assert_same(actual: Any, expected: Any) -> None:
    for ours, theirs in zip(actual.layers, expected.layers, strict=True):
        assert type(ours) is type(theirs)
        assert ours.get_config() == theirs.get_config()
    for ours, theirs in zip(actual.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("D_mul", [None, 14], ids=["D_mul=K", "D_mul=14"])
def test_a_folded_file_is_the_folded_model(tmp_path: Path, D_mul: int | None) -> None:
    model = trained(plain_model(), D_mul=D_mul)
    file, out = tmp_path / "file.keras", tmp_path / "out.keras"
    model.save(file)
    done = succeed("fold", file, out, "--verify", "--json")
    assert done.json["folded"] == ["stem", "depthwise", "up"]
    assert done.json["largest_ulps"] <= 0.5
    assert_same(keras.models.load_model(out), doconv_tf.fold(model))


def test_a_converted_file_is_the_converted_model(tmp_path: Path) -> None:
    model = plain_model()
    file, out, back = (tmp_path / f"{name}.keras" for name in ("file", "out", "back"))
    model.save(file)
    done = succeed("convert", file, out, "--verify", "--json")  # the file tells the groups
    assert done.json["converted"] == ["stem", "depthwise", "up"]
    assert done.json["largest_ulps"] == 0
    assert_same(keras.models.load_model(out), doconv_tf.convert(model))
    succeed("fold", out, back)
    assert_same(keras.models.load_model(back), model)


def test_a_folded_file_loads_where_doconv_is_not_installed(tmp_path: Path) -> None:
    model = trained(plain_model())
    model.save(tmp_path / "file.keras")
    succeed("fold", tmp_path / "file.keras", tmp_path / "out.keras")
    code = """
import sys
for name in ("doconv_core", "doconv_tf", "doconv_cli"):
    sys.modules[name] = None  # importing it now raises ImportError
import keras, numpy
model = keras.models.load_model(sys.argv[1])
numpy.save(sys.argv[2], keras.ops.convert_to_numpy(model(numpy.ones((1, 9, 9, 4), "float32"))))
"""
    output = tmp_path / "output.npy"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "out.keras"), str(output)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    ours = doconv_tf.fold(model)(np.ones((1, 9, 9, 4), "float32"))
    np.testing.assert_array_equal(np.load(output), keras.ops.convert_to_numpy(ours))


@pytest.mark.parametrize("model_is", ["plain", "converted"])
def test_a_file_of_weights_needs_a_model(tmp_path: Path, model_is: str) -> None:
    model = trained(plain_model())
    paths = [tmp_path / f"{name}.weights.h5" for name in ("file", "out", "back")]
    file, out, back = paths
    model.save_weights(file)
    (plain_model() if model_is == "plain" else trained(plain_model())).save(tmp_path / "m.keras")
    assert "is needed for a .weights.h5" in fail(2, "fold", file, out)
    option = ("--model", tmp_path / "m.keras")
    done = succeed("fold", file, out, *option, "--verify", "--json")
    assert done.json["largest_ulps"] <= 0.5
    plain = plain_model()
    plain.load_weights(out)
    assert_same(plain, doconv_tf.fold(model))
    succeed("convert", out, back, *option, "--verify")
    rows = succeed("inspect", back, *option, "--json").json["layers"]
    assert [row["offset"] for row in rows] == [0, 0, None, 0]


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    plain_model().save(tmp_path / "m.keras")
    file = tmp_path / "file.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(file)
    assert "Keras says" in fail(1, "inspect", file, "--model", tmp_path / "m.keras")


def test_inspect_shows_every_convolution(tmp_path: Path) -> None:
    trained(plain_model()).save(tmp_path / "file.keras")
    rows = succeed("inspect", tmp_path / "file.keras", "--json").json["layers"]
    assert [row["name"] for row in rows] == ["stem", "depthwise", "pointwise", "up"]
    assert [row["kind"] for row in rows] == [
        "DO-Conv", "DO-DConv", "plain", "DO-Conv, transposed",
    ]  # fmt: skip
    assert rows[0]["W"] == [8, 4, 9]
    assert rows[2]["W"] == [4, 16, 1, 1]
    assert all(row["offset"] > 0 for row in rows if row["kind"] != "plain")


def test_the_kernel_s_type_is_the_layer_s(tmp_path: Path) -> None:
    trained(plain_model()).save(tmp_path / "file.keras")
    file, out = tmp_path / "file.keras", tmp_path / "out.keras"
    assert "policy" in fail(2, "fold", file, out, "--dtype", "float16")
    succeed("fold", file, out, "--dtype", "float32")


@pytest.mark.parametrize("command", ["inspect", "fold", "convert"])
@pytest.mark.parametrize("length", [0, 100, -50])
def test_a_damaged_file_is_refused(tmp_path: Path, length: int, command: str) -> None:
    file = tmp_path / "file.keras"
    plain_model().save(file)
    file.write_bytes(file.read_bytes()[:length])
    out = () if command == "inspect" else (tmp_path / "out.keras",)
    assert f"cannot read {str(file)!r}: Keras says" in fail(1, command, file, *out)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "file.keras")
    assert "Lambda" in fail(1, "inspect", tmp_path / "file.keras")


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    class Own(keras.layers.Conv2D):
        pass

    keras.Sequential([keras.Input((9, 9, 4)), Own(8, 3)]).save(tmp_path / "file.keras")
    assert "Own" in fail(1, "inspect", tmp_path / "file.keras")


def test_a_compiled_model_is_said_to_come_out_uncompiled(tmp_path: Path) -> None:
    model = trained(plain_model())
    model.compile("adam", "mse")
    file, out = tmp_path / "file.keras", tmp_path / "out.keras"
    model.save(file)
    assert "is written uncompiled" in succeed("fold", file, out).err
    assert not keras.models.load_model(out).compiled
    plain_model().save(file)
    assert succeed("convert", file, out).err == ""


def test_all_that_keras_says_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ValueError("Layer x is wrong.\n\nIts kernel has other sizes.\nReceived: 3")

    plain_model().save(tmp_path / "file.keras")
    monkeypatch.setattr(keras.models, "load_model", refuse)
    error = fail(1, "inspect", tmp_path / "file.keras")
    assert "Layer x is wrong. Its kernel has other sizes. Received: 3" in error


def test_verify_looks_before_the_file_becomes_OUT(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = doconv_tf.fold

    def wrong(model: Any, *, inplace: bool) -> Any:
        model = fold(model, inplace=inplace)
        kernel = model.get_layer("stem").kernel
        kernel.assign(kernel * (1 + 2**-21))
        return model

    trained(plain_model()).save(tmp_path / "file.keras")
    monkeypatch.setattr(doconv_tf, "fold", wrong)
    error = fail(1, "fold", tmp_path / "file.keras", tmp_path / "out.keras", "--verify")
    assert "the written kernel differs" in error
