r"""Semantic segmentation on Pascal VOC or Cityscapes by keras-hub's DeepLabV3+, with DO-Conv.

    pip install 'doconv-layers[tf]' keras-hub pillow
    python -m examples.keras.segmentation \
        --network deeplabv3plus_resnet50 --data voc --output runs/deeplab --distribute

DATA has VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}, or Cityscapes'
leftImg8bit/{train,val} and gtFine/{train,val}. A network of keras-hub that holds weights already,
from a preset, can be given as a function of yours (package.module:factory, called with classes).

Settings: torchvision's references/segmentation (train.py, presets.py). Validation images are scaled
into a square of the crop's size.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from examples.keras import common  # isort: skip  sets the backend's log level

import keras
import numpy as np
from PIL import Image

from doconv_tf import convert, fold

SETTINGS = {"epochs": 30, "batch_size": 32, "lr": 0.02, "weight_decay": 1e-4}
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Values in its masks, in the order of classes; all other values are ignored."""
IGNORED = 255
ENCODERS: dict[str, dict[str, Any]] = {
    "deeplabv3plus_resnet18": {
        "block_type": "basic_block", "stackwise_num_blocks": [2, 2, 2, 2]},
    "deeplabv3plus_resnet50": {
        "block_type": "bottleneck_block", "stackwise_num_blocks": [3, 4, 6, 3]},
    "deeplabv3plus_resnet101": {
        "block_type": "bottleneck_block", "stackwise_num_blocks": [3, 4, 23, 3]},
}  # fmt: skip


def networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes."""
    return {"keras-hub": list(ENCODERS), "yours": ["package.module:factory"]}


def rows() -> list[dict[str, str]]:
    """For docs/recipes.md."""
    return [
        {"network": name, "data": data, "authors": "", "hours": "",
         "command": "python -m examples.keras.segmentation --distribute"
         f" --network {name} --data {folder} --output runs/{name}"}
        for data, folder in (("Pascal VOC", "voc"), ("Cityscapes", "citys"))
        for name in list(ENCODERS)[1:]
    ]  # fmt: skip


def network(name: str, classes: int) -> keras.Model:
    """Images of 0 to 255 in, logits of the same size out."""
    if ":" in name:
        module, factory = name.split(":")
        return getattr(importlib.import_module(module), factory)(classes=classes)
    from keras_hub import models

    encoder = models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], use_pre_activation=False,
        stackwise_num_filters=[64, 128, 256, 512], stackwise_num_strides=[1, 2, 2, 2],
        **ENCODERS[name],
    )  # fmt: skip
    backbone = models.DeepLabV3Backbone(
        image_encoder=encoder, spatial_pyramid_pooling_key="P4", low_level_feature_key="P2",
        upsampling_size=4, dilation_rates=[6, 12, 18], image_shape=(None, None, 3),
    )  # fmt: skip
    return models.DeepLabV3ImageSegmenter(backbone, num_classes=classes, preprocessor=None)


def pairs(folder: Path, split: str) -> list[tuple[Path, Path]]:
    """Images and masks."""
    voc, names = folder / "VOC2012", folder / "VOC2012/ImageSets/Segmentation" / f"{split}.txt"
    if names.exists():
        images, masks = voc / "JPEGImages", voc / "SegmentationClass"
        return [(images / f"{n}.jpg", masks / f"{n}.png") for n in names.read_text().split()]
    images, masks = folder / "leftImg8bit" / split, folder / "gtFine" / split
    if not images.is_dir():
        common.no_data(
            "VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation/{train,val}.txt}, or"
            " Cityscapes' leftImg8bit/{train,val}/CITY and gtFine/{train,val}/CITY, are expected.",
            folder,
        )
    mask = lambda path: path.name.replace("leftImg8bit", "gtFine_labelIds")  # noqa: E731
    found = sorted(images.glob("*/*_leftImg8bit.png"))
    return [(path, masks / path.parent.name / mask(path)) for path in found]


class Masks:
    """Images with the classes of their pixels."""

    def __init__(self, args: argparse.Namespace, split: str) -> None:
        self.args, self.pairs = args, pairs(args.data, split)
        self.classes = 21 if (args.data / "VOC2012").is_dir() else len(CITYSCAPES)
        self.table = np.arange(256, dtype=np.uint8)
        if self.classes != 21:
            self.table[:] = IGNORED
            self.table[list(CITYSCAPES)] = np.arange(self.classes)

    def batches(self, epoch: int, at: int = 0) -> Any:
        """Of an epoch, from a step of it on; of epoch -1 all, in order and unchanged."""
        import tensorflow as tf

        size, count = self.args.batch_size, len(self.pairs)
        order = np.arange(count)
        if epoch >= 0:
            np.random.default_rng((self.args.seed, epoch)).shuffle(order)
            order = order[at * size : count - count % size]
        crop = (self.args.crop, self.args.crop)

        def read(index: Any) -> Any:
            example = lambda each: self._example(epoch, int(each))  # noqa: E731
            image, mask = tf.numpy_function(example, [index], [tf.float32, tf.uint8])
            return tf.ensure_shape(image, (*crop, 3)), tf.ensure_shape(mask, crop)

        examples = tf.data.Dataset.from_tensor_slices(order).map(read, self.args.workers)
        return examples.batch(size).prefetch(2)

    def _example(self, epoch: int, index: int) -> tuple[Any, Any]:
        image, mask = (Image.open(path) for path in self.pairs[index])
        image, mask = image.convert("RGB"), Image.fromarray(self.table[np.array(mask)])
        crop, offset = self.args.crop, (0, 0)
        scale = crop / max(image.size)
        if epoch >= 0:
            random = np.random.default_rng((self.args.seed, epoch, index))
            scale = crop * 520 / 480 * random.uniform(0.5, 2) / min(image.size)
            if random.random() < 0.5:
                image, mask = (
                    each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (image, mask)
                )
        size = tuple(max(round(scale * each), 1) for each in image.size)
        if epoch >= 0:
            offset = tuple(int(random.integers(0, max(each - crop, 0) + 1)) for each in size)
        squares = []
        for each, method, fill in ((image, Image.BILINEAR, 0), (mask, Image.NEAREST, IGNORED)):
            square = Image.new(
                each.mode, (crop, crop), (fill,) * len(each.getbands()) if fill == 0 else fill
            )
            square.paste(each.resize(size, method), (-offset[0], -offset[1]))
            squares.append(np.asarray(square))
        return squares[0].astype(np.float32), squares[1]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    parser = common.options(__doc__, "deeplabv3plus_resnet50", ("none", "backbone", "all"))
    parser.add_argument("--crop", type=int, default=480, help="pixels; by default 480")
    parser.add_argument("--workers", type=int, default=8, help="threads that read images")
    parser.add_argument("--weight-decay", type=float, help="by default 1e-4")
    args = parser.parse_args(arguments)
    scope = common.start(args, SETTINGS)
    training, validation = Masks(args, "train"), Masks(args, "val")
    per_epoch = len(training.pairs) // args.batch_size
    rate = keras.optimizers.schedules.PolynomialDecay(args.lr, args.epochs * per_epoch, 0.0, 0.9)

    def compiled(model: keras.Model) -> keras.Model:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
        overlap = keras.metrics.MeanIoU(
            validation.classes, name="mIoU", ignore_class=IGNORED, sparse_y_pred=False
        )
        model.compile(common.sgd(args, rate), loss, metrics=[overlap])
        return model

    def evaluate(model: keras.Model) -> dict[str, float]:
        return compiled(model).evaluate(validation.batches(-1), return_dict=True)

    with scope:
        model = network(args.network, validation.classes)
        if args.weights:
            model.load_weights(args.weights)
        inside = {layer.name for layer in model.backbone.image_encoder.layers}
        where = (lambda name, layer: layer.name in inside) if args.do_conv == "backbone" else None
        if args.do_conv != "none":
            model = convert(model, where=where, D_mul=args.D_mul)
        common.resume(args, compiled(model))
    common.train(args, model, per_epoch, training.batches, validation.batches(-1))
    deployed = fold(model) if args.do_conv != "none" else model
    return common.finish(args, model, deployed, evaluate)


if __name__ == "__main__":
    main()
