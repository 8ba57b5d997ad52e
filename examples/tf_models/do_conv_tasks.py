"""DO-Conv in TensorFlow's Model Garden: its own tasks, data and trainer, with converted models.

    python examples/tf_models/do_conv_tasks.py classification
    python examples/tf_models/do_conv_tasks.py segmentation
    python examples/tf_models/do_conv_tasks.py detection

:class:`WithDOConv` is all that Model Garden needs; the rest is a small experiment for each
task on scikit-learn's digits, written as TFRecords in the format that the task reads.

    pip install 'doconv-layers[tf-keras]' scikit-learn
    pip install --no-deps tf-models-official==2.20.0   # then what `make test-zoo` lists
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import exp_factory, train_lib
from official.vision import registry_imports  # noqa: F401  registers the experiments
from official.vision.tasks.image_classification import ImageClassificationTask
from official.vision.tasks.retinanet import RetinaNetTask
from official.vision.tasks.semantic_segmentation import SemanticSegmentationTask
from sklearn.datasets import load_digits

from doconv_tf_keras import convert, fold, summary


class WithDOConv:
    """Before a task in the bases of a class: its models are over-parameterized."""

    def build_model(self) -> Any:
        return convert(super().build_model(), inplace=True)  # type: ignore[misc]

    def initialize(self, model: Any) -> None:
        """Load a pretrained plain checkpoint strictly, as the task does."""
        fold(model, inplace=True)
        super().initialize(model)  # type: ignore[misc]
        convert(model, inplace=True)


class DOConvClassification(WithDOConv, ImageClassificationTask):
    """Image classification."""


class DOConvSegmentation(WithDOConv, SemanticSegmentationTask):
    """Semantic segmentation."""


class DOConvDetection(WithDOConv, RetinaNetTask):
    """Detection by RetinaNet: backbone, feature pyramid and head."""


TASKS = {
    "classification": (DOConvClassification, "image_classification"),
    "segmentation": (DOConvSegmentation, "semantic_segmentation"),
    "detection": (DOConvDetection, "retinanet"),
}
SIZE, BATCH = 64, 8


def run(kind: str, folder: Path, *, steps: int = 10, checkpoint: str = "") -> Any:
    """Train a task's model for some steps by Model Garden's trainer, and give it back."""
    task_class, experiment = TASKS[kind]
    records = folder / f"{kind}.tfrecord"
    write_records(kind, records)
    params = exp_factory.get_exp_config(experiment)
    params.override(settings(kind, records, steps, checkpoint), is_strict=False)
    strategy = tf.distribute.MirroredStrategy(["cpu:0"])
    with strategy.scope():
        task = task_class(params.task, logging_dir=str(folder))
    model, _ = train_lib.run_experiment(
        distribution_strategy=strategy,
        task=task,
        mode="train",
        params=params,
        model_dir=str(folder / "model"),
        save_summary=False,
    )
    return model


def settings(kind: str, records: Path, steps: int, checkpoint: str) -> dict[str, Any]:
    """What differs from the experiment as Model Garden registers it."""
    data = {"input_path": str(records), "global_batch_size": BATCH, "shuffle_buffer_size": 32,
            "dtype": "float32"}  # fmt: skip
    model: dict[str, Any] = {
        "input_size": [SIZE, SIZE, 3],
        "num_classes": 11,
        "backbone": {"type": "resnet", "resnet": {"model_id": 18}},
    }
    if kind == "segmentation":
        data |= {"output_size": [SIZE, SIZE], "crop_size": [SIZE, SIZE]}
        model |= {
            "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
            "head": {"num_filters": 16, "num_convs": 1},
        }
    if kind == "detection":
        model |= {
            "max_level": 5,
            "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
            "head": {"num_filters": 16, "num_convs": 1},
        }
    optimization = {
        "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9}},
        "learning_rate": {"type": "constant", "constant": {"learning_rate": 0.01}},
        "warmup": {"type": None},
    }
    task = {"model": model, "train_data": data, "init_checkpoint": checkpoint or None,
            "init_checkpoint_modules": "backbone"}  # fmt: skip
    trainer = {"train_steps": steps, "steps_per_loop": steps, "checkpoint_interval": steps,
               "summary_interval": steps, "optimizer_config": optimization}  # fmt: skip
    return {"runtime": {"mixed_precision_dtype": "float32"}, "task": task, "trainer": trainer}


def write_records(kind: str, path: Path, count: int = 64) -> None:
    """Digits as TFRecords: an image with its class, its mask, or its box."""
    digits = load_digits()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image, label in zip(digits.images[:count], digits.target[:count], strict=True):
            example = tf.train.Example(
                features=tf.train.Features(feature=features(kind, image, int(label)))
            )
            writer.write(example.SerializeToString())


def features(kind: str, image: np.ndarray, label: int) -> dict[str, Any]:
    """Those of one example, under Model Garden's keys."""
    large = np.kron(image, np.ones((SIZE // 8, SIZE // 8)))[..., None]
    found = {
        "image/encoded": _bytes(_image(np.repeat(large * 15, 3, axis=-1))),
        "image/height": _integer(SIZE),
        "image/width": _integer(SIZE),
        "image/source_id": _bytes(str(label).encode()),
    }
    if kind == "classification":
        return found | {"image/class/label": _integer(label)}
    if kind == "segmentation":
        mask = np.where(large > 8, label + 1, 0)
        return found | {"image/segmentation/class/encoded": _bytes(_image(mask, tf.io.encode_png))}
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    box = {"ymin": rows[0], "ymax": rows[-1] + 1, "xmin": columns[0], "xmax": columns[-1] + 1}
    return found | {
        **{f"image/object/bbox/{edge}": _float(at / 8) for edge, at in box.items()},
        "image/object/class/label": _integer(label + 1),
    }


def _image(array: np.ndarray, encode: Any = tf.io.encode_jpeg) -> bytes:
    return bytes(encode(array.astype(np.uint8)).numpy())


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _float(value: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "classification"
    with tempfile.TemporaryDirectory() as folder:
        model = run(kind, Path(folder))
        print(summary(model))
        fold(model, inplace=True)
        path = tf.train.Checkpoint(model=model, **getattr(model, "checkpoint_items", {}))
        print("folded:", path.write(f"{folder}/folded"))


if __name__ == "__main__":
    main()
