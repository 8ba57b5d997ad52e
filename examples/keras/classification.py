r"""A folder of images, with a network of keras.applications or of yours, and DO-Conv.

    pip install '.[tf]'
    python -m examples.keras.classification \
        --network ResNet50 --data imagenet --output runs/resnet50 --distribute

A network is a name of keras.applications, or a function of yours (package.module:factory, called
with input_shape and classes; it ends in logits). DATA has train/CLASS/IMAGE and val/CLASS/IMAGE.
``--distribute`` takes all devices: by MirroredStrategy on TensorFlow, by DataParallel on JAX.

keras.applications has no training script; the settings are those of torchvision's
references/classification/README.md for ResNet, with a cosine. Stopped by Ctrl-C or a cluster, the
same command goes on.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from typing import Any

from examples.keras import common  # isort: skip  sets the backend's log level

import keras

from doconv_tf import convert, fold

SETTINGS = {"epochs": 90, "batch_size": 256, "lr": 0.1, "weight_decay": 1e-4}


def networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes."""
    found = [name for name, each in vars(keras.applications).items() if inspect.isfunction(each)]
    return {"keras.applications": sorted(found), "yours": ["package.module:factory"]}


def rows() -> list[dict[str, str]]:
    """For docs/recipes.md: what the authors' table has too."""
    versions = {"": "v1", "V2": "v2"}
    same = {
        **{f"ResNet{depth}{version}": f"resnet{depth}_{theirs}"
           for version, theirs in versions.items() for depth in (50, 101, 152)},
        "MobileNet": "mobilenet1.0", "MobileNetV2": "mobilenetv2_1.0",
        "MobileNetV3Large": "mobilenetv3_large",
    }  # fmt: skip
    return [
        {"network": name, "data": "ImageNet", "like": like,
         "command": "python -m examples.keras.classification --distribute"
         f" --network {name} --data imagenet --output runs/{name}"}
        for name, like in same.items()
    ]  # fmt: skip


def network(name: str, size: int, classes: int) -> keras.Model:
    """Images of 0 to 255 in, logits out; without weights."""
    shape = (size, size, 3)
    if ":" in name:
        module, factory = name.split(":")
        return getattr(importlib.import_module(module), factory)(input_shape=shape, classes=classes)
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=shape, classes=classes, classifier_activation=None)


def prepared(name: str) -> Any:
    """What the network of keras.applications expects its images to go through."""
    if ":" in name:
        return lambda images: images
    return sys.modules[getattr(keras.applications, name).__module__].preprocess_input


class Top(keras.metrics.SparseTopKCategoricalAccuracy):
    """Also of bfloat16, which TensorFlow 2.21 does not rank."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, keras.ops.cast(y_pred, "float32"), sample_weight)


class Images:
    """The batches of the folders; those for training are cropped and mirrored at random."""

    def __init__(self, args: argparse.Namespace) -> None:
        if not (args.data / "train").is_dir() or not (args.data / "val").is_dir():
            common.no_data("train/CLASS/IMAGE and val/CLASS/IMAGE are expected.", args.data)
        self.args, self.prepare = args, prepared(args.network)
        first = self._read("train", args.size, shuffle=False)
        self.classes = len(first.class_names)
        self.per_epoch = common.steps_in(args, len(first.file_paths))

    def training(self, epoch: int, at: int) -> Any:
        """Of an epoch, from a step of it on."""
        import tensorflow as tf

        args, seed = self.args, self.args.seed + epoch
        shape = (args.size, args.size, 3)

        def change(image: Any, number: Any) -> Any:
            image = tf.image.stateless_random_crop(image, shape, (seed, number))
            return tf.image.stateless_random_flip_left_right(image, (seed, -1 - number))

        def batch(step: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
            numbers = tf.cast(step, "int32") * args.batch_size + tf.range(args.batch_size)
            images = tf.map_fn(
                lambda each: change(*each), (found[0], numbers), fn_output_signature="float32"
            )
            return self.prepare(images), found[1]

        batches = self._read("train", args.size * 256 // 224, shuffle=True, seed=seed)
        return batches.take(self.per_epoch).enumerate().skip(at).map(batch, tf.data.AUTOTUNE)

    def validation(self) -> Any:
        images = self._read("val", self.args.size, shuffle=False)
        return images.map(lambda images, labels: (self.prepare(images), labels))

    def _read(self, split: str, size: int, **order: Any) -> Any:
        return keras.utils.image_dataset_from_directory(
            self.args.data / split, image_size=(size, size), batch_size=self.args.batch_size,
            crop_to_aspect_ratio=True, verbose=False, **order,
        )  # fmt: skip


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    parser = common.options(__doc__, "ResNet50", networks(), ("none", "all"))
    parser.add_argument("--size", type=int, default=224, help="of images; by default 224")
    parser.add_argument("--weight-decay", type=float, help="by default 1e-4")
    parser.add_argument("--warmup-epochs", type=int, default=5)
    args = parser.parse_args(arguments)
    scope = common.start(args, SETTINGS)
    images = Images(args)

    steps, warm = args.epochs * images.per_epoch, args.warmup_epochs * images.per_epoch
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm else args.lr, steps - warm, warmup_target=args.lr, warmup_steps=warm
    )

    def compiled(model: keras.Model) -> keras.Model:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        top1 = keras.metrics.SparseCategoricalAccuracy(name="top1")
        top5 = Top(5, name="top5")
        model.compile(common.sgd(args, rate), loss, metrics=[top1, top5])
        return model

    def evaluate(model: keras.Model) -> dict[str, float]:
        return compiled(model).evaluate(images.validation(), return_dict=True)

    with scope():
        model = network(args.network, args.size, images.classes)
        if args.weights:
            model.load_weights(args.weights)
        if args.do_conv == "all":
            model = convert(model, D_mul=args.D_mul)
        common.resume(args, compiled(model))
    common.train(args, model, images.per_epoch, images.training, images.validation())
    with scope():
        deployed = fold(model) if args.do_conv == "all" else model
        return common.finish(args, model, deployed, evaluate)


if __name__ == "__main__":
    main()
