r"""Semantic segmentation on Pascal VOC or Cityscapes by keras-hub's DeepLabV3+, with DO-Conv.

    pip install '.[tf]' keras-hub pillow
    python -m examples.keras.segmentation \
        --network deeplabv3plus_resnet50 --data voc --output runs/deeplab --distribute

DATA has VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}, or Cityscapes'
leftImg8bit/{train,val} and gtFine/{train,val}. A network of keras-hub that holds weights already,
from a preset, can be given as a function of yours (package.module:factory, called with classes).

Settings: torchvision's references/segmentation (train.py, presets.py). Validation images are scaled
into a square of the crop's size.
"""

from __future__ import annotations

import importlib
from typing import Any

from examples.keras import common  # isort: skip  sets the backend's log level

import keras

from doconv_tf import convert, fold
from examples.keras.segmentation_data import IGNORED, Masks

SETTINGS = {"epochs": 30, "batch_size": 32, "lr": 0.02, "weight_decay": 1e-4}
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
        {"network": name, "data": data,
         "command": "python -m examples.keras.segmentation --distribute"
         f" --network {name} --data {folder} --output runs/{name}"}
        for data, folder in (("Pascal VOC", "voc"), ("Cityscapes", "citys"))
        for name in list(ENCODERS)[1:]
    ]  # fmt: skip


def network(name: str, classes: int) -> keras.Model:
    """Images of -1 to 1 in, logits of the same size out."""
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
        image_encoder=encoder, spatial_pyramid_pooling_key="P5", low_level_feature_key="P2",
        upsampling_size=8, dilation_rates=[6, 12, 18], image_shape=(None, None, 3),
    )  # fmt: skip
    return models.DeepLabV3ImageSegmenter(backbone, num_classes=classes, preprocessor=None)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    stages = ("none", "backbone", "all")
    parser = common.options(__doc__, "deeplabv3plus_resnet50", networks(), stages)
    parser.add_argument("--crop", type=int, default=480, help="pixels; by default 480")
    parser.add_argument("--workers", type=int, default=8, help="threads that read images")
    parser.add_argument("--weight-decay", type=float, help="by default 1e-4")
    args = parser.parse_args(arguments)
    scope = common.start(args, SETTINGS)
    training, validation = Masks(args, "train"), Masks(args, "val")
    per_epoch = common.steps_in(args, len(training.pairs))
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

    with scope():
        model = network(args.network, validation.classes)
        if args.weights:
            model.load_weights(args.weights)
        inside = {layer.name for layer in model.backbone.image_encoder.layers}
        where = (lambda name, layer: layer.name in inside) if args.do_conv == "backbone" else None
        if args.do_conv != "none":
            model = convert(model, where=where, D_mul=args.D_mul)
        common.resume(args, compiled(model))
    common.train(args, model, per_epoch, training.batches, validation.batches(-1))
    with scope():
        deployed = fold(model) if args.do_conv != "none" else model
        return common.finish(args, model, deployed, evaluate)


if __name__ == "__main__":
    main()
