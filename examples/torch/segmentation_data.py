"""Pascal VOC and Cityscapes, augmented as torchvision's references/segmentation/presets.py does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from examples.torch.common import no_data

VOC = tuple(range(21))
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Values in the masks, in the order of classes; all other values are ignored."""
IGNORED = 255

Pairs = list[tuple[Path, Path]]


class Masks(Dataset[tuple[Tensor, Tensor]]):
    """Images (3, H, W) with the classes of their pixels (H, W)."""

    def __init__(self, pairs: Pairs, values: tuple[int, ...], transform: Any) -> None:
        self.pairs, self.transform = pairs, transform
        self.table = torch.full((256,), IGNORED, dtype=torch.uint8)
        self.table[list(values)] = torch.arange(len(values), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = (Image.open(path) for path in self.pairs[index])
        classes = tv_tensors.Mask(self.table[torch.from_numpy(np.array(mask)).int()])
        image, classes = self.transform(image.convert("RGB"), classes)
        return image.as_subclass(Tensor), classes.as_subclass(Tensor).long()


def masks(folder: Path, crop: int) -> tuple[Masks, Masks, int]:
    """For training, for validation, and how many classes there are."""
    values = CITYSCAPES if (folder / "leftImg8bit").is_dir() else VOC
    pairs = _cityscapes if values is CITYSCAPES else _voc
    base = crop * 520 // 480
    end = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
           v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]  # fmt: skip
    fill = {tv_tensors.Mask: IGNORED, "others": 0}
    augmented = v2.Compose([
        v2.RandomResize(base // 2, base * 2), v2.RandomHorizontalFlip(),
        v2.RandomCrop(crop, pad_if_needed=True, fill=fill), *end,
    ])  # fmt: skip
    whole = v2.Compose([v2.Resize(base), *end])
    training = Masks(pairs(folder, "train"), values, augmented)
    return training, Masks(pairs(folder, "val"), values, whole), len(values)


def _voc(folder: Path, split: str) -> Pairs:
    voc = folder / "VOC2012"
    names = voc / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not names.exists():
        no_data(
            "VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation/{train,val}.txt}, or"
            " Cityscapes' leftImg8bit/{train,val}/CITY and gtFine/{train,val}/CITY, are expected.",
            folder,
        )
    return [
        (voc / "JPEGImages" / f"{name}.jpg", voc / "SegmentationClass" / f"{name}.png")
        for name in names.read_text().split()
    ]


def _cityscapes(folder: Path, split: str) -> Pairs:
    images = sorted((folder / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    fine = folder / "gtFine" / split
    return [
        (path, fine / path.parent.name / path.name.replace("leftImg8bit", "gtFine_labelIds"))
        for path in images
    ]
