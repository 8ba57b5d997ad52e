"""The commands on files of the authors' TensorFlow layers, in the layouts of Keras 2 and 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core.kernel.layout import from_canonical
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.official import read
from tests.cli.command import fail, succeed

h5py = pytest.importorskip("h5py", reason="Keras's files are HDF5")

SIZES = {"do_conv2d": (3, 8, 1), "do_conv2d_1": (8, 6, 2), "do_conv2d_2": (6, 6, 6)}


def official(name: str) -> dict[str, np.ndarray]:
    """kernel (S, I/g, O) and D (K, S, I) for 3x3, random."""
    I, O, groups = SIZES[name]
    rng = np.random.default_rng(len(name))
    shapes = {"kernel": (9, I // groups, O), "D": (9, 9, I), "bias": (O,)}
    return {array: rng.normal(size=shape).astype("float32") for array, shape in shapes.items()}


def expected(name: str) -> np.ndarray:
    """The plain kernel that Keras convolves with, (3, 3, I/g, O)."""
    I, O, groups = SIZES[name]
    layer = read({f"a/{key}": array for key, array in official(name).items()}, "tf")["a"]
    return from_canonical(DOConvSpec(I, O, (3, 3), groups), layer.kernel(), "kIO")


def keras2(path: Path, *, whole: bool) -> Path:
    """As tf.keras wrote weights, or a whole model."""
    with h5py.File(path, "w") as file:
        root = file
        if whole:
            layer = {"class_name": "DOConv2D", "config": {"name": "x", "filters": 8, "D_mul": None}}
            file.attrs["model_config"] = json.dumps({"config": {"layers": [layer]}})
            root = file.create_group("model_weights")
            file.create_group("optimizer_weights")["m"] = np.ones((9, 9, 3), "float32")
        root.attrs["layer_names"] = [*SIZES, "dense"]
        for name in SIZES:
            group = root.create_group(name)
            names = [f"{name}/{array}:0" for array in official(name)]
            group.attrs["weight_names"] = np.array(names, dtype="S")
            for array, values in official(name).items():
                group[f"{name}/{array}:0"] = values
        root["dense/dense/kernel:0"] = np.ones((6, 2), "float32")
    return path


@pytest.mark.parametrize("whole", [False, True], ids=["weights", "model"])
def test_a_file_of_keras_2_is_folded(tmp_path: Path, whole: bool) -> None:
    file, out = keras2(tmp_path / "file.h5", whole=whole), tmp_path / "out.h5"
    done = succeed("fold", file, out, "--kernel-size", "square", "--verify", "--json")
    start = "model_weights/" if whole else ""
    assert done.json["folded"] == [f"{start}{name}/{name}" for name in SIZES]
    with h5py.File(out) as made:
        root = made["model_weights"] if whole else made
        assert list(root.attrs["layer_names"]) == [*SIZES, "dense"]
        assert root["dense/dense/kernel:0"].shape == (6, 2)
        for name in SIZES:
            own = root[f"{name}/{name}"]
            assert set(own) == {"kernel:0", "bias:0"}
            np.testing.assert_array_equal(own["kernel:0"][()], expected(name))
            np.testing.assert_array_equal(own["bias:0"][()], official(name)["bias"])
            wanted = [f"{name}/{name}/kernel:0", f"{name}/{name}/bias:0"]
            kept = [f"{name}/{each.decode()}" for each in root[name].attrs["weight_names"]]
            assert kept == wanted
        if whole:
            (layer,) = json.loads(made.attrs["model_config"])["config"]["layers"]
            assert layer == {"class_name": "Conv2D", "config": {"name": "x", "filters": 8}}
            assert "optimizer_weights" not in made
            assert "optimizer" in done.json["notes"][0]


def keras3_model(official_layers: bool) -> Any:
    keras = pytest.importorskip("keras", reason="to write and read its files")

    class DOConv2D(keras.layers.Layer):
        """What the authors' layer stores."""

        def build(self, shape: Any) -> None:
            for array, values in official(self.stored).items():
                variable = self.add_weight(name=array, shape=values.shape)
                variable.assign(values)

        def call(self, x: Any) -> Any:
            return x

    layers: list[Any] = [keras.Input((9, 9, 3))]
    for name, (_, O, groups) in SIZES.items():
        if official_layers:
            layer = DOConv2D()
            layer.stored = name
        else:
            layer = keras.layers.Conv2D(O, 3, groups=groups)
        layers.append(layer)
        layers.append(keras.layers.BatchNormalization())
    if official_layers:  # whose shapes do not follow: they compute nothing
        for layer in layers[1:]:
            layer.build((None, 9, 9, 3))
        model = keras.Sequential(layers[1:])
        model.built = True
        return model
    return keras.Sequential(layers)


def test_a_file_of_keras_3_is_folded(tmp_path: Path) -> None:
    file, out = tmp_path / "file.weights.h5", tmp_path / "out.weights.h5"
    theirs = keras3_model(official_layers=True)
    theirs.save_weights(file)
    rows = succeed("inspect", file, "--json").json["layers"]
    assert [row["kind"] for row in rows] == [
        "official DO-Conv", "official DO-GConv", "official DO-DConv",
    ]  # fmt: skip
    succeed("fold", file, out, "--kernel-size", "square", "--verify")
    with h5py.File(out) as made:
        for i, name in enumerate(SIZES):
            own = made["layers"]["conv2d" + (f"_{i}" if i else "")]["vars"]
            assert set(own) == {"0", "1"}
            np.testing.assert_array_equal(own["0"][()], expected(name))
            np.testing.assert_array_equal(own["1"][()], official(name)["bias"])


def test_the_plain_model_of_keras_3_loads_it(tmp_path: Path) -> None:
    file, out = tmp_path / "file.weights.h5", tmp_path / "out.weights.h5"
    plain = keras3_model(official_layers=False)
    plain.save_weights(file)  # with everything beside, then theirs in the place of Keras's own
    with h5py.File(file, "a") as made:
        for i, name in enumerate(SIZES):
            number = f"_{i}" if i else ""
            del made[f"layers/conv2d{number}"]
            for j, array in enumerate(official(name).values()):
                made[f"layers/do_conv2d{number}/vars/{j}"] = array
    succeed("fold", file, out, "--kernel-size", "square", "--verify")
    plain.load_weights(out)
    for layer, name in zip(plain.layers[::2], SIZES, strict=True):
        np.testing.assert_array_equal(np.asarray(layer.get_weights()[0]), expected(name))


def test_an_order_that_the_file_does_not_tell_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.weights.h5"
    with h5py.File(file, "w") as made:
        for j, array in enumerate(official("do_conv2d").values()):
            made[f"layers/do_conv2d/vars/{j}"] = array
        made["layers/conv2d/vars/0"] = np.ones((3, 3, 2, 2), "float32")
    error = fail(2, "fold", file, tmp_path / "out.weights.h5", "--kernel-size", "square")
    assert "load_official" in error


def test_convert_says_what_does_it(tmp_path: Path) -> None:
    file = keras2(tmp_path / "file.h5", whole=False)
    error = fail(2, "convert", file, tmp_path / "out.h5", "--kernel-size", "square")
    assert "doconv_tf.load_official" in error


def test_the_kernel_size_is_asked_for(tmp_path: Path) -> None:
    file = keras2(tmp_path / "file.h5", whole=False)
    assert "kernel size of 3 layers" in fail(2, "fold", file, tmp_path / "out.h5")


HOSTILE = {
    "external link": lambda file, secret: file.__setitem__(
        "a/kernel:0", h5py.ExternalLink(str(secret), "kernel")
    ),
    "external storage": lambda file, secret: file.create_dataset(
        "a/kernel:0", (9, 3, 4), "float32", external=[(str(secret), 0, 9 * 3 * 4 * 4)]
    ),
    "virtual": lambda file, secret: file.create_virtual_dataset(
        "a/kernel:0", _virtual(secret)
    ),
    "soft link": lambda file, secret: file.__setitem__("a/kernel:0", h5py.SoftLink("/x")),
    "a bomb": lambda file, secret: file.create_dataset(
        "a/kernel:0", (9, 30000, 40000), "float32", chunks=(9, 100, 100), compression="gzip"
    ),
}  # fmt: skip


def _virtual(secret: Path) -> Any:
    layout = h5py.VirtualLayout((9, 3, 4), "float32")
    layout[:] = h5py.VirtualSource(str(secret), "kernel", (9, 3, 4))
    return layout


@pytest.mark.parametrize("command", ["inspect", "fold"])
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_file_reads_no_other_file_and_claims_nothing(
    tmp_path: Path, make: Any, command: str
) -> None:
    (tmp_path / "files").mkdir()
    secret, file = tmp_path / "secret.h5", tmp_path / "files" / "file.h5"
    with h5py.File(secret, "w") as other:
        other["kernel"] = np.ones((9, 3, 4), "float32")
    with h5py.File(file, "w") as made:
        made["a/D:0"] = np.ones((9, 9, 3), "float32")
        make(made, secret)
    out = [] if command == "inspect" else [file.with_name("out.h5"), "--kernel-size", "square"]
    code = 2 if make is HOSTILE["a bomb"] else 1
    error = fail(code, command, file, *out)
    said = {2: ("--max-bytes",), 1: ("lies in another file", "is a link")}[code]
    assert any(each in error for each in said), error
