"""examples/tf_models: Model Garden's own trainer trains, restores and deploys converted models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("official", reason="tf-models-official is in the environment of make test-zoo")

import tensorflow as tf

from doconv_tf_keras import fold
from doconv_tf_keras.layers.base import DOConvNd
from doconv_tf_keras.layers.nesting import everything

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Model Garden's own, which are many
    pytest.mark.timeout(900),
]
ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location(
    "do_conv_tasks", ROOT / "examples" / "tf_models" / "do_conv_tasks.py"
)
assert spec is not None
assert spec.loader is not None
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)


def moved(model: Any) -> list[bool]:
    """Of each D that the loss can move: whether it has."""
    layers = [layer for layer in everything(model) if isinstance(layer, DOConvNd)]
    return [bool(layer.D.numpy().any()) for layer in layers]


@pytest.mark.parametrize("kind", example.TASKS)
def test_a_task_trains_and_its_folded_checkpoint_is_the_plain_model_s(
    kind: str, tmp_path: Path
) -> None:
    model = example.run(kind, tmp_path, steps=3)
    assert sum(moved(model)) >= 17  # those of the backbone at least
    fold(model, inplace=True)
    backbone = tf.train.Checkpoint(backbone=model.backbone).write(str(tmp_path / "backbone"))
    # Strictly: the task asserts that every variable of the plain backbone is in the checkpoint.
    (tmp_path / "again").mkdir()
    again = example.run(kind, tmp_path / "again", steps=3, checkpoint=backbone)
    assert sum(moved(again)) >= 17


def test_training_goes_on_from_the_trainer_s_own_checkpoint(tmp_path: Path) -> None:
    first = example.run("classification", tmp_path, steps=3)
    D = next(layer for layer in everything(first) if isinstance(layer, DOConvNd)).D.numpy()
    again = example.run("classification", tmp_path, steps=3)  # nothing is left to train
    restored = next(layer for layer in everything(again) if isinstance(layer, DOConvNd)).D.numpy()
    assert D.any()
    assert (restored == D).all()
