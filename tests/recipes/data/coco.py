"""COCO as it is on disk: images, and one JSON file a split with boxes and polygons.

ROOT/train2017/000000000001.jpg
ROOT/val2017/000000000101.jpg
ROOT/annotations/instances_{train,val}2017.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.recipes.data.pictures import Picture, draw

CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Numbers between 1 and 90 that no class has."""
IDS = [number for number in range(1, 91) if number not in UNUSED]


def write(root: Path, *, images: int = 2, size: tuple[int, int] = (96, 64)) -> Path:
    """As many images in each of the two splits."""
    (root / "annotations").mkdir(parents=True)
    for first, split in ((1, "train2017"), (101, "val2017")):
        (root / split).mkdir()
        pictures = draw(images, len(CLASSES), size, seed=first)
        described = [_described(first + n, split, each) for n, each in enumerate(pictures)]
        for (image, _), picture in zip(described, pictures, strict=True):
            picture.image.save(root / split / image["file_name"])
        content = {
            "info": {"year": 2017},
            "licenses": [],
            "categories": [
                {"id": number, "name": name, "supercategory": "thing"}
                for number, name in zip(IDS, CLASSES, strict=True)
            ],
            "images": [image for image, _ in described],
            "annotations": [annotation for _, annotation in described],
        }
        path = root / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))
    return root


def _described(number: int, split: str, picture: Picture) -> tuple[dict[str, Any], dict[str, Any]]:
    name = f"{number:012}.jpg"
    width, height = picture.image.size
    left, top, right, bottom = picture.box
    image = {
        "id": number,
        "file_name": name,
        "width": width,
        "height": height,
        "coco_url": f"http://images.cocodataset.org/{split}/{name}",
    }
    annotation = {
        "id": number,
        "image_id": number,
        "category_id": IDS[picture.label],
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }
    return image, annotation
