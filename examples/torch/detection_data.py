"""COCO, as torchvision's references/detection have it (presets.py, coco_utils.py)."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from examples.torch.common import no_data

CLASSES = 91
"""COCO's numbers go up to 90, and 0 is the background."""

_SSDLITE = (v2.RandomIoUCrop(), v2.RandomHorizontalFlip())
_SSD = (v2.RandomPhotometricDistort(), v2.RandomZoomOut(fill=(123, 117, 104)), *_SSDLITE)
AUGMENTATIONS = {"hflip": (v2.RandomHorizontalFlip(),), "ssd": _SSD, "ssdlite": _SSDLITE}


class Boxes(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Images (3, H, W) with boxes, labels, and masks if asked for; for training, those with any."""

    def __init__(
        self, folder: Path, split: str, augmentation: str = "", *, masks: bool = False
    ) -> None:
        file = folder / "annotations" / f"instances_{split}.json"
        self.folder, self.masks = folder / split, masks
        if not file.exists() or not self.folder.is_dir():
            no_data(
                "annotations/instances_{train,val}2017.json, and images in train2017 and val2017,"
                " are expected.",
                folder,
            )
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(file))
        self.ids = [each for each in sorted(self.coco.imgs) if not augmentation or self._of(each)]
        self.transform = v2.Compose([
            v2.ToImage(), *AUGMENTATIONS.get(augmentation, ()),
            v2.ToDtype(torch.float32, scale=True), v2.SanitizeBoundingBoxes(),
        ])  # fmt: skip

    def _of(self, image: int) -> list[dict[str, Any]]:
        """The objects that count: no crowds, nothing without extent."""
        found = self.coco.loadAnns(self.coco.getAnnIds(image, iscrowd=False))
        return [each for each in found if min(each["bbox"][2:]) > 1]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        number = self.ids[index]
        image = Image.open(self.folder / self.coco.imgs[number]["file_name"]).convert("RGB")
        objects = self._of(number)
        boxes = torch.tensor([each["bbox"] for each in objects]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target: dict[str, Any] = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=image.size[::-1]),
            "labels": torch.tensor([each["category_id"] for each in objects], dtype=torch.int64),
        }
        if self.masks:
            masks = [self.coco.annToMask(each) for each in objects]
            stacked = np.stack(masks) if masks else np.zeros((0, *image.size[::-1]), np.uint8)
            target["masks"] = tv_tensors.Mask(torch.from_numpy(stacked))
        image, target = self.transform(image, target)
        target = {name: value.as_subclass(Tensor) for name, value in target.items()}
        return image.as_subclass(Tensor), {**target, "image_id": number}

    def aspects(self) -> Tensor:
        """To which of seven bins of width / height each image belongs; a batch is of one."""
        images = [self.coco.imgs[number] for number in self.ids]
        ratios = torch.tensor([each["width"] / each["height"] for each in images])
        return torch.bucketize(ratios, 2 ** torch.linspace(-1, 1, 7), right=True)


def together(batch: list[tuple[Tensor, dict[str, Any]]]) -> tuple[Any, ...]:
    """Images of a batch differ in size."""
    return tuple(zip(*batch, strict=True))


def precision(coco: COCO, found: list[dict[str, Any]]) -> dict[str, float]:
    """COCO's average precision, in percent, of boxes as it lists them."""
    if not found:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("AP", "AP50", "AP75"), (100 * evaluation.stats[:3]).tolist(), strict=True))
