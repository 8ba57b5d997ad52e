"""ImageNet, in folders or packed, and CIFAR-10, loaded as GluonCV's training scripts do."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doconv_gluon.model_zoo import gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon.common import Images, need

data, transforms = mx.gluon.data, mx.gluon.data.vision.transforms
LAYOUTS = {
    "imagenet": "DATA/rec/{train,val}.{rec,idx}, as MXNet's im2rec packs them, or "
    "DATA/{train,val}/CLASS/IMAGE.JPEG",
    "cifar10": "DATA/{data_batch_1,...,data_batch_5,test_batch}.bin, CIFAR-10's binary version",
}


def cifar10(options: argparse.Namespace, batch: int) -> tuple[Any, Any]:
    """For training and for validation; as ``train_cifar10.py``."""
    folder = options.data.expanduser()
    numbers = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
    need(LAYOUTS["cifar10"], *(folder / f"{each}.bin" for each in (*numbers, "test_batch")))
    train, val = (data.vision.CIFAR10(str(folder), training) for training in (True, False))
    normal = transforms.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    augmented = [gluoncv.data.transforms.RandomCrop(32, pad=4), transforms.RandomFlipLeftRight()]
    return _loaded(train, val, augmented, [], normal, options, batch)


def imagenet(options: argparse.Namespace, batch: int) -> tuple[Any, Any]:
    """For training and for validation; as ``train_imagenet.py``, with or without ``--use-rec``."""
    folder, size, splits = options.data.expanduser(), options.input_size, ("train", "val")
    if (folder / "rec").exists():
        paths = [folder / "rec" / f"{split}.{kind}" for split in splits for kind in ("rec", "idx")]
        need(LAYOUTS["imagenet"], *paths)
        return tuple(Records(folder / "rec", split, options, batch) for split in splits)
    need(LAYOUTS["imagenet"], *(folder / split for split in splits))
    train, val = (gluoncv.data.ImageNet(str(folder), training) for training in (True, False))
    augmented = [
        transforms.RandomResizedCrop(size),
        transforms.RandomFlipLeftRight(),
        transforms.RandomColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
        transforms.RandomLighting(0.1),
    ]
    centered = [transforms.Resize(_resized(size), keep_ratio=True), transforms.CenterCrop(size)]
    normal = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return _loaded(train, val, augmented, centered, normal, options, batch)


def _resized(size: int) -> int:
    return math.ceil(size / 0.875)


def _loaded(
    train: Any,
    val: Any,
    augmented: list[Any],
    centered: list[Any],
    normal: Any,
    options: argparse.Namespace,
    batch: int,
) -> tuple[Images, Images]:
    train, val = (
        each.transform_first(transforms.Compose([*steps, transforms.ToTensor(), normal]))
        for each, steps in ((train, augmented), (val, centered))
    )
    batches = data.BatchSampler(data.RandomSampler(len(train)), batch, "discard")
    in_order = data.BatchSampler(data.SequentialSampler(len(val)), batch, "keep")
    return (
        Images(train, batches, options.seed, num_workers=options.workers),
        Images(val, in_order, options.seed, num_workers=options.workers),
    )


class Records:
    """A split that im2rec has packed: batches of images and labels."""

    _AUGMENTED = {  # noqa: RUF012
        "shuffle": True, "rand_mirror": True, "random_resized_crop": True,
        "max_aspect_ratio": 4 / 3, "min_aspect_ratio": 3 / 4, "max_random_area": 1,
        "min_random_area": 0.08, "brightness": 0.4, "saturation": 0.4, "contrast": 0.4,
        "pca_noise": 0.1,
    }  # fmt: skip

    def __init__(self, folder: Path, split: str, options: argparse.Namespace, batch: int) -> None:
        with (folder / f"{split}.idx").open() as index:
            self._length = sum(1 for _ in index) // batch
        size, mean, std = options.input_size, (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)
        more = self._AUGMENTED if split == "train" else {"resize": _resized(size)}
        self._seed = options.seed
        self._arguments = {
            "path_imgrec": str(folder / f"{split}.rec"),
            "path_imgidx": str(folder / f"{split}.idx"),
            "preprocess_threads": max(options.workers, 1),
            "batch_size": batch,
            "data_shape": (3, size, size),
            **dict(zip(("mean_r", "mean_g", "mean_b"), mean, strict=True)),
            **dict(zip(("std_r", "std_g", "std_b"), std, strict=True)),
            **more,
        }

    def __len__(self) -> int:
        return self._length

    def epoch(self, number: int, seen: int) -> Iterator[Any]:
        """An epoch's batches, after those that were seen; its order has a seed of its own."""
        seeds = {"seed": self._seed + number, "seed_aug": self._seed + number}
        for place, each in enumerate(mx.io.ImageRecordIter(**self._arguments, **seeds)):
            if place >= seen:
                real = each.data[0].shape[0] - each.pad  # the last batch is filled up
                yield each.data[0][:real], each.label[0][:real]
