"""Every backbone of TensorFlow's Model Garden (official.vision): converted, trained, folded.

    python -m tests.zoo.tf_models                  all of them, and a report
    python -m tests.zoo.tf_models resnet-18 vit    some

`make test-zoo` runs it in an environment of its own: the pins of tf-models-official do not resolve
beside TensorFlow 2.21. For each backbone, with the head of its own classification task: convert
leaves the output as it is, bit for bit; a few of the task's own training steps move every D that
the output sees; fold gives the plain model, whose checkpoint the untouched one reads strictly and
then computes the same. Exit status 1: one of that does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision import registry_imports  # noqa: F401  registers the backbones
from official.vision.configs import backbones, image_classification
from official.vision.tasks.image_classification import ImageClassificationTask

from doconv_tf_keras import convert, fold, summary
from doconv_tf_keras.layers.do_conv import DOConvNd
from doconv_tf_keras.layers.nesting import everything

REPORT = Path(__file__).resolve().parents[2] / "build" / "zoo" / "tf_models"
CLASSES, STEPS, TOLERANCE = 5, 3, 1e-4

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


def inspect(name: str) -> dict[str, Any]:
    """What becomes of a backbone, as figures."""
    start, (size, _) = time.monotonic(), BACKBONES[name]
    tf_keras.utils.set_random_seed(0)
    task = task_of(name)
    model, untouched = task.build_model(), task.build_model()
    images = tf.random.normal((4, size, size, 3), seed=1)
    labels = tf.constant([0, 1, 2, 3])
    plain = model(images, training=False)

    copied = _copied(model.backbone)
    convert(model, inplace=True)
    layers = [layer for layer in everything(model) if isinstance(layer, DOConvNd)]
    rows = summary(model)
    converted = _difference(model(images, training=False), plain)

    optimizer = tf_keras.optimizers.legacy.SGD(0.01, momentum=0.9)
    step = tf.function(lambda: task.train_step((images, labels), model, optimizer))
    for _ in range(STEPS):
        step()
    moved = sum(bool(layer.D.numpy().any()) for layer in layers)

    trained = model(images, training=False)
    fold(model, inplace=True)
    deployed = model(images, training=False)
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(model=model).write(f"{folder}/checkpoint")
        tf.train.Checkpoint(model=untouched).read(path).assert_consumed()
    reloaded = _difference(untouched(images, training=False), deployed)
    scale = max(float(abs(each).max()) for each in _arrays(trained))
    return {
        "convolutions": len(rows),
        "converted": len(layers),
        "moved": moved,
        "copy": copied,
        "convert": converted,
        "fold": _difference(deployed, trained) / scale,
        "reload": reloaded,
        "seconds": round(time.monotonic() - start),
    }


def is_good(figures: dict[str, Any]) -> bool:
    return (
        "error" not in figures
        and figures["convert"] == figures["reload"] == 0
        and figures["fold"] < TOLERANCE
        and figures["moved"] == figures["converted"]
    )


def _copied(backbone: tf_keras.Model) -> str:
    """Whether convert can copy a backbone: "same" where it then computes the same."""
    try:
        copy = convert(backbone)
    except ValueError as error:
        fault = str(error).partition("fault=")[2]
        return f"refused: {fault[:100]}"
    x = tf.random.normal((2, *backbone.input_shape[1:]), seed=2)
    ours, theirs = copy(x, training=False), backbone(x, training=False)
    return "same" if _difference(ours, theirs) == 0 else "another"


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in tf.nest.flatten(outputs)]


def _difference(ours: Any, theirs: Any) -> float:
    pairs = zip(_arrays(ours), _arrays(theirs), strict=True)
    return max(float(abs(one - other).max()) for one, other in pairs)


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures in Markdown."""
    heads = ("backbone", "converted", "moved D's", "convert", "fold", "strict reload", "copy")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, row in found.items():
        if "error" in row:
            lines.append(f"| {name} | {row['error']} | | | | | |")
            continue
        cells = (f"{row['converted']} of {row['convolutions']}", row["moved"], row["convert"],
                 f"{row['fold']:.1e}", row["reload"], row["copy"])  # fmt: skip
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*BACKBONES, []], metavar="NAME")
    parser.add_argument("--out", type=Path, default=REPORT, help="file name of the report")
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or BACKBONES:
        tf_keras.backend.clear_session()
        try:
            found[name] = inspect(name)
        except Exception as error:  # the next one may do
            found[name] = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(name, "good" if is_good(found[name]) else "BAD", found[name], flush=True)  # noqa: T201
        arguments.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        arguments.out.with_suffix(".md").write_text(table(found))
    bad = [name for name, figures in found.items() if not is_good(figures)]
    print(f"{len(found) - len(bad)} of {len(found)} good", *bad)  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
