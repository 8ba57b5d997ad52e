"""Every backbone of TensorFlow's Model Garden (official.vision): converted, trained, folded.

python -m tests.zoo.tf_models REPORT [--only WORD] [--resume]

`make test-zoo` runs it in an environment of its own: the pins of tf-models-official do not resolve
beside TensorFlow 2.21. Each backbone has the head of its own classification task, which trains it;
the folded checkpoint must match the untouched model's to the last variable. The report is a table
of comma-separated values (:mod:`tests.zoo.report`). The program fails where a row does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision import registry_imports  # noqa: F401  registers the backbones
from official.vision.configs import backbones, image_classification
from official.vision.tasks.image_classification import ImageClassificationTask

from doconv_tf_keras import convert, fold, summary
from doconv_tf_keras.model.walk import over_parameterized
from tests.zoo.examination import Zoo
from tests.zoo.report import main

CLASSES = 5

BACKBONES: dict[str, tuple[int, dict[str, Any]]] = {
    # name: image size, the fields of its config; the first names the type
    **{f"resnet-{n}": (64, {"resnet": {"model_id": n}}) for n in (10, 18, 34, 50, 101)},
    "resnet-d-50": (64, {"resnet": {"model_id": 50, "stem_type": "v1", "resnetd_shortcut": True,
                                    "replace_stem_max_pool": True, "se_ratio": 0.25}}),
    "dilated-resnet-50": (64, {"dilated_resnet": {"model_id": 50}}),
    "revnet-38": (64, {"revnet": {"model_id": 38}}),
    "revnet-56": (64, {"revnet": {"model_id": 56}}),
    **{f"efficientnet-{n}": (64, {"efficientnet": {"model_id": n}}) for n in ("b0", "b2")},
    **{
        name: (64, {"mobilenet": {"model_id": name}})
        for name in ("MobileNetV1", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large",
                     "MobileNetV3EdgeTPU", "MobileNetMultiAVG", "MobileNetMultiMAX",
                     "MobileNetV4ConvSmall", "MobileNetV4ConvMedium", "MobileNetV4HybridMedium")
    },
    "spinenet-49S": (128, {"spinenet": {"model_id": "49S"}}),
    "spinenet-49": (128, {"spinenet": {"model_id": "49"}}),
    "spinenet-mobile-49XS": (128, {"spinenet_mobile": {"model_id": "49XS"}}),
    "spinenet-mobile-49": (128, {"spinenet_mobile": {"model_id": "49"}}),
    **{
        name: (64, {"mobiledet": {"model_id": name}})
        for name in ("MobileDetCPU", "MobileDetDSP", "MobileDetEdgeTPU", "MobileDetGPU")
    },
    "vit": (64, {"vit": {"model_name": "vit-ti16"}}),
}  # fmt: skip


class Network(NamedTuple):
    """A backbone, not built yet."""

    name: str
    zoo: str = "tf-models-official"


def task_of(name: str) -> ImageClassificationTask:
    """Model Garden's own classification task with a backbone."""
    size, fields = BACKBONES[name]
    config = image_classification.ImageClassificationTask()
    config.model = image_classification.ImageClassificationModel(
        num_classes=CLASSES,
        input_size=[size, size, 3],
        backbone=backbones.Backbone(type=next(iter(fields))),
    )
    config.model.backbone.override(fields)
    return ImageClassificationTask(config)


class ModelGarden(Zoo):
    """How Model Garden's networks are run, trained and saved."""

    packages = ("tf-models-official", "tf_keras", "tensorflow-cpu", "numpy")

    def networks(self, given: Any) -> Iterable[Network]:
        return map(Network, BACKBONES)

    def make(self, network: Network) -> tf_keras.Model:
        tf_keras.utils.set_random_seed(0)
        return task_of(network.name).build_model()

    def inputs(self, network: Network, model: Any, random: np.random.Generator) -> Any:
        size, _ = BACKBONES[network.name]
        return tf.constant(random.normal(size=(4, size, size, 3)), tf.float32)

    def randomize(self, model: Any, random: np.random.Generator) -> None:
        for variable in model.variables:
            if "gamma" in variable.name or "scale" in variable.name:
                variable.assign(1 + 0.1 * random.normal(size=variable.shape))

    def run(self, model: Any, x: Any) -> list[np.ndarray]:
        return [np.asarray(each) for each in tf.nest.flatten(model(x, training=False))]

    def train(self, network: Network, model: Any, x: Any) -> None:
        task, labels = task_of(network.name), tf.constant([0, 1, 2, 3])
        optimizer = tf_keras.optimizers.legacy.SGD(0.01, momentum=0.9)
        tf.function(lambda: task.train_step((x, labels), model, optimizer))()

    def convert(self, network: Network, model: Any, row: Any) -> Any:
        """Another one in place, as every one can be; and a copy of the backbone, as most can."""
        try:
            copy = convert(model.backbone)
        except ValueError as error:
            row.copied = str(error).partition("fault=")[2][:100]
        else:
            x = tf.random.normal((2, *model.backbone.input_shape[1:]), seed=2)
            pairs = zip(self.run(copy, x), self.run(model.backbone, x), strict=True)
            if not all((one == other).all() for one, other in pairs):
                row.copied = "the copy computes something else"
        other = self.make(network)
        other.set_weights(model.get_weights())
        return convert(other, inplace=True)

    def fold(self, model: Any) -> Any:
        return fold(model, inplace=True)

    def summary(self, model: Any) -> Any:
        return summary(model)

    def pairs(self, model: Any) -> list[tuple[Any, Any]]:
        return [(layer._kernel, layer.D) for _, layer in over_parameterized(model)]

    def variables(self, model: Any) -> list[Any]:
        return [each for each in model.weights if each.dtype.is_floating]

    def read(self, variable: Any) -> np.ndarray:
        return variable.numpy()

    def write(self, variable: Any, value: np.ndarray) -> None:
        variable.assign(value)

    def reload(self, network: Network, folded: Any, folder: str) -> tf_keras.Model:
        path = tf.train.Checkpoint(model=folded).write(f"{folder}/checkpoint")
        untouched = self.make(network)
        tf.train.Checkpoint(model=untouched).read(path).assert_consumed()
        return untouched


if __name__ == "__main__":
    sys.exit(main(ModelGarden(), __doc__))
