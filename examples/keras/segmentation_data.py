"""Pascal VOC and Cityscapes, augmented as torchvision's references/segmentation/presets.py does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from examples.keras.common import no_data

CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Values in its masks, in the order of classes; all other values are ignored."""
IGNORED = 255
MEAN = (127, 127, 127)


def pairs(folder: Path, split: str) -> list[tuple[Path, Path]]:
    """Images and masks."""
    voc, names = folder / "VOC2012", folder / "VOC2012/ImageSets/Segmentation" / f"{split}.txt"
    if names.exists():
        images, masks = voc / "JPEGImages", voc / "SegmentationClass"
        return [(images / f"{n}.jpg", masks / f"{n}.png") for n in names.read_text().split()]
    images, masks = folder / "leftImg8bit" / split, folder / "gtFine" / split
    if not images.is_dir():
        no_data(
            "VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation/{train,val}.txt}, or"
            " Cityscapes' leftImg8bit/{train,val}/CITY and gtFine/{train,val}/CITY, are expected.",
            folder,
        )
    mask = lambda path: path.name.replace("leftImg8bit", "gtFine_labelIds")  # noqa: E731
    found = sorted(images.glob("*/*_leftImg8bit.png"))
    return [(path, masks / path.parent.name / mask(path)) for path in found]


class Masks:
    """Images, from -1 to 1, with the classes of their pixels."""

    def __init__(self, args: argparse.Namespace, split: str) -> None:
        self.args, self.pairs = args, pairs(args.data, split)
        self.classes = 21 if (args.data / "VOC2012").is_dir() else len(CITYSCAPES)
        self.table = np.arange(256, dtype=np.uint8)
        if self.classes != 21:
            self.table[:] = IGNORED
            self.table[list(CITYSCAPES)] = np.arange(self.classes)

    def batches(self, epoch: int, at: int = 0) -> Any:
        """Of an epoch, from a step of it on; of epoch -1 all, in order and unchanged."""
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
        for each, method, fill in ((image, Image.BILINEAR, MEAN), (mask, Image.NEAREST, IGNORED)):
            square = Image.new(each.mode, (crop, crop), fill)
            square.paste(each.resize(size, method), (-offset[0], -offset[1]))
            squares.append(np.asarray(square))
        return squares[0].astype(np.float32) / 127.5 - 1, squares[1]
