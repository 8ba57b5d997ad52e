"""examples/keras on tiny data as they are on disk: stopped, resumed, folded, loaded again."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.recipes.data import cityscapes, imagefolder, voc
from tests.star.backends import backend as backends

if "keras" not in backends.names():
    pytest.skip("keras is not among DOCONV_BACKENDS", allow_module_level=True)
keras = backends.load("keras") and importlib.import_module("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the recipes read images by TensorFlow", allow_module_level=True)

needs_keras_hub = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="keras-hub, of the environment of `make test-recipes-torch`",
)


class Case(NamedTuple):
    """A recipe, the network, its data, options, and how many layers are over-parameterized."""

    recipe: str
    network: str
    data: str
    options: str
    layers: int


TINY = "tests.recipes.tiny_keras:network"
FOLDERS = "--batch-size 2 --size 32 --warmup-epochs 1"
CASES = {
    "own module": Case("classification", TINY, "imagefolder", FOLDERS, 2),
}
HEAVY = {
    "own module, distributed, D_mul 18": Case(
        "classification", TINY, "imagefolder", f"{FOLDERS} --distribute --D-mul 18", 2
    ),
    "plain": Case("classification", TINY, "imagefolder", f"{FOLDERS} --do-conv none", 0),
    "keras.applications, bfloat16": Case(
        "classification", "MobileNetV2", "imagefolder", f"{FOLDERS} --bf16", 18
    ),
}
SQUARES = "--network deeplabv3plus_resnet18 --batch-size 2 --crop 32 --workers 1"
WITH_KERAS_HUB = {
    "DeepLabV3+, VOC": Case("segmentation", "deeplabv3plus_resnet18", "voc", SQUARES, 20),
    "DeepLabV3+, backbone, Cityscapes": Case(
        "segmentation", "deeplabv3plus_resnet18", "cityscapes", f"{SQUARES} --do-conv backbone", 17
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    imagefolder.write(root / "imagefolder")
    voc.write(root / "voc", images=8)
    cityscapes.write(root / "cityscapes", images=4)
    return root


@pytest.fixture(autouse=True)
def _policy() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def run(case: Case, data: Path, output: Path, *more: str) -> dict[str, Any]:
    """The recipe, in this process, with the names of layers that it has in one of its own.

    They are numbered in a process, and what a compiler makes of a network depends on their order:
    sums are rounded otherwise.
    """
    keras.utils.clear_session()
    recipe = importlib.import_module(f"examples.keras.{case.recipe}")
    given = ["--data", str(data / case.data), "--network", case.network, "--output", str(output)]
    return dict(
        recipe.main([*given, "--epochs", "2", "--steps", "5", *case.options.split(), *more])
    )


@contextlib.contextmanager
def ended_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a cluster sends when time is up, in the midst of an epoch."""
    common, taken = importlib.import_module("examples.keras.common"), []
    method = common._Interrupt.on_train_batch_end

    def count(*given: Any, **named: Any) -> None:
        taken.append(1)
        if len(taken) == steps:
            signal.raise_signal(signal.SIGTERM)
        method(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(common._Interrupt, "on_train_batch_end", count)
        yield


def check(case: Case, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a recipe promises."""
    whole = run(case, data, folder / "whole")
    assert json.loads((folder / "whole/result.json").read_text()) == whole
    assert whole["layers"] == case.layers

    with ended_after(2, monkeypatch), pytest.raises(SystemExit, match="Interrupted after 2 of 5"):
        run(case, data, folder / "parts")
    again = run(case, data, folder / "parts")
    assert {**again, "file": ""} == {**whole, "file": ""}
    one, other = (
        keras.saving.load_model(folder / part / "folded.keras", compile=False)
        for part in ("whole", "parts")
    )
    assert not any("D" in layer.name.split("_") for layer in one.layers)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    # Its weights into the untouched network, made anew.
    reloaded = ["--weights", str(folder / "whole/folded.weights.h5"), "--do-conv", "none"]
    plain = run(case, data, folder / "plain", *reloaded, "--steps", "0")
    metrics = whole.keys() - {"do_conv", "layers", "file", "D_mul"}
    assert {name: plain[name] for name in metrics} == {name: whole[name] for name in metrics}


@pytest.mark.parametrize("name", CASES)
def test_recipe(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(CASES[name], data, tmp_path, monkeypatch)


@needs_keras_hub
@pytest.mark.parametrize("name", [*HEAVY, *WITH_KERAS_HUB])
def test_recipe_of_a_library(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check({**HEAVY, **WITH_KERAS_HUB}[name], data, tmp_path, monkeypatch)


def test_an_unknown_network_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"No network unknown. --help lists those"):
        run(Case("classification", "unknown", "", FOLDERS, 0), tmp_path, tmp_path / "out")


def test_missing_data_are_said_with_their_layout(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"No data: train/CLASS/.* Received: --data={tmp_path}"):
        run(Case("classification", TINY, "", FOLDERS, 0), tmp_path, tmp_path / "out")
