"""What GluonCV's own training commands say, and the authors' figures beside them.

The commands are those that GluonCV's model zoo links, gluoncv/logs/*/NAME.sh of dmlc/web-data; what
a command leaves out is the default of the script that it calls. Hours are those of the logs beside
them, the sum over epochs times the number of GPUs; which GPUs they were, the logs do not say.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, TypeVar

Settings = TypeVar("Settings", bound=Any)


class Classification(NamedTuple):
    """Settings of ``scripts/classification``; a batch is over all GPUs.

    Attributes:
        hours: GPU hours of GluonCV's log.
        authors: their baseline and gain, in percent of the validation images.
        gpus: how many GluonCV took; norms see a GPU's part of the batch.
    """

    hours: float | None = None
    authors: tuple[float, float] | None = None
    batch: int = 1024
    lr: float = 0.4
    epochs: int = 120
    warmup: int = 5
    wd: float = 1e-4
    dtype: str = "float32"
    last_gamma: bool = False
    no_wd: bool = False
    smoothing: bool = False
    mixup: bool = False
    decay: float = 0.1
    decay_epochs: tuple[int, ...] = ()
    gpus: int = 4


BEST = {"last_gamma": True, "no_wd": True, "smoothing": True}
HALF = {"dtype": "float16", "gpus": 8}
SMALL = {"batch": 256, "lr": 0.1, "gpus": 8}

# gluoncv/logs/classification/imagenet/NAME.sh, for scripts/classification/imagenet/
# train_imagenet.py. The authors: github.com/yangyanli/DO-Conv, README.md.
IMAGENET = {
    # Not GluonCV's: trained as resnet18_v1. A last gamma of 0 would stop a network without
    # shortcuts.
    "plain18": Classification(None, (69.97, 1.01)),
    "resnet18_v1": Classification(64.2, (70.87, 0.82)),
    "resnet34_v1": Classification(70.7, (74.49, 0.49)),
    "resnet50_v1": Classification(74.0, (77.32, 0.08), **BEST, **HALF),
    "resnet101_v1": Classification(135.5, (78.16, 0.46), **HALF),
    "resnet152_v1": Classification(549.6, (79.34, 0.07), **BEST, **SMALL),
    "resnet18_v1b": Classification(64.2, (71.08, 0.71), last_gamma=True),
    "resnet34_v1b": Classification(68.4, (74.35, 0.77), last_gamma=True),
    "resnet50_v1b": Classification(69.3, (77.56, 0.44), **BEST, **HALF),
    "resnet101_v1b": Classification(117.1, (79.14, 0.25), **BEST, **HALF),
    "resnet152_v1b": Classification(482.1, (79.60, 0.10), **BEST, **SMALL),
    "resnet18_v2": Classification(64.4, (70.80, 0.64)),
    "resnet34_v2": Classification(68.8, (74.76, 0.22)),
    "resnet50_v2": Classification(125.3, (77.17, 0.31), gpus=8),
    "resnet101_v2": Classification(131.3, (78.56, 0.11), **HALF),
    "resnet152_v2": Classification(256.0, (79.24, 0.14), epochs=180, **HALF),
    "resnext50_32x4d": Classification(
        197.1, (79.21, 0.40), epochs=200, mixup=True, **BEST, **HALF
    ),
    # mobilenet1.0-mixup.sh
    "mobilenet1.0": Classification(
        109.6, (73.30, 0.03), epochs=200, mixup=True, no_wd=True, smoothing=True, **HALF
    ),
    "mobilenetv2_1.0": Classification(
        125.0, (71.89, 0.16), 256, 0.05, 150, wd=4e-5, no_wd=True, smoothing=True
    ),
    "mobilenetv3_large": Classification(
        122.0, (75.16, 0.14), 2048, 2.6, 360, wd=3e-5, **BEST, **HALF
    ),
    "mobilenetv3_small": Classification(96.4, None, 2048, 2.6, 360, wd=3e-5, **BEST, **HALF),
}  # fmt: skip

_CIFAR = {
    "lr": 0.1, "batch": 128, "epochs": 200, "warmup": 0, "decay_epochs": (100, 150), "gpus": 1,
}  # fmt: skip
_WIDE = {**_CIFAR, "wd": 5e-4, "decay": 0.2, "decay_epochs": (60, 120, 160)}
_NEXT = {**_CIFAR, "wd": 5e-4, "epochs": 300, "decay_epochs": (150, 225), "gpus": 4}

# gluoncv/logs/classification/cifar/NAME.sh, for scripts/classification/cifar/train_cifar10.py.
CIFAR10 = {
    "cifar_resnet20_v1": Classification(0.9, **_CIFAR),
    "cifar_resnet56_v1": Classification(1.8, **_CIFAR),
    "cifar_resnet110_v1": Classification(3.2, **_CIFAR),
    "cifar_resnet20_v2": Classification(0.9, **_CIFAR),
    "cifar_resnet56_v2": Classification(1.7, **_CIFAR),
    "cifar_resnet110_v2": Classification(3.3, **_CIFAR),
    "cifar_wideresnet16_10": Classification(2.2, **_WIDE),
    "cifar_wideresnet28_10": Classification(4.2, **_WIDE),
    "cifar_wideresnet40_8": Classification(4.7, **_WIDE)._replace(gpus=2),
    "cifar_resnext29_16x64d": Classification(34.6, **_NEXT),
}


class Segmentation(NamedTuple):
    """Settings of ``scripts/segmentation/train.py`` for one data set."""

    lr: float
    epochs: int = 50
    batch: int = 16
    base_size: int = 520
    crop_size: int = 480
    gpus: int = 4


# gluoncv/logs/segmentation/{fcn_resnet50_voc,psp_resnet101_voc,psp_resnet101_citys,...}.sh: first
# the augmented set of VOC, then VOC itself from there.
SEGMENTATION = {
    "pascal_aug": Segmentation(0.001),
    "pascal_voc": Segmentation(0.0001),
    "citys": Segmentation(0.01, 240, base_size=2048, crop_size=768, gpus=8),
}
SEGMENTERS = {
    **{
        f"{model}_{backbone}_{data}": None
        for data in ("voc", "citys")
        for model in ("fcn", "psp", "deeplab")
        for backbone in ("resnet50", "resnet101", "resnet152")
    },
    # GPU hours; on VOC those of the second run, there is no log of the first.
    "fcn_resnet101_voc": 9.9,
    "psp_resnet101_voc": 9.1,
    "deeplab_resnet101_voc": 11.9,
    "psp_resnet101_citys": 433.6,
}


class Detection(NamedTuple):
    """Settings of ``scripts/detection/faster_rcnn/train_faster_rcnn.py`` for one data set.

    Attributes:
        lr: for the whole batch.
        batch: one image for each of GluonCV's GPUs.
        warmup: steps, from a third of the rate.
    """

    lr: float
    epochs: int
    decay_epochs: tuple[int, ...]
    wd: float
    batch: int
    warmup: int


# gluoncv/logs/detection/faster_rcnn_*.sh and their logs; GPU hours of each network.
DETECTION = {
    "voc": Detection(0.001, 20, (14, 20), 5e-4, batch=4, warmup=-1),
    "coco": Detection(0.01, 26, (17, 23), 1e-4, batch=8, warmup=1000),
}
DETECTORS = {
    "faster_rcnn_resnet50_v1b_voc": 29.5,
    "faster_rcnn_resnet50_v1b_coco": 442.2,
    "faster_rcnn_resnet101_v1d_coco": 553.4,
    "faster_rcnn_fpn_resnet50_v1b_coco": 786.4,
    "faster_rcnn_fpn_resnet101_v1d_coco": 942.5,
}


def replaced(given: Settings, options: argparse.Namespace) -> Settings:
    """Settings, with what the options say instead."""
    said = {**vars(options), "batch": options.batch_size}
    names = {"batch", "lr", "epochs", "dtype", "base_size", "crop_size"} & set(given._fields)
    return given._replace(**{name: said[name] for name in names if said[name]})
