"""Pascal VOC as it is on disk: images, masks of classes, and boxes in XML.

ROOT/VOC2012/JPEGImages/2012_000000.jpg
ROOT/VOC2012/SegmentationClass/2012_000000.png      a palette; 255 is the border of an object
ROOT/VOC2012/Annotations/2012_000000.xml
ROOT/VOC2012/ImageSets/{Segmentation,Main}/{train,val,trainval,test}.txt
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tests.recipes.data.pictures import Picture, draw

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def write(
    root: Path, *, images: int = 4, size: tuple[int, int] = (96, 64), year: int = 2012
) -> Path:
    """Half of the images are for training, half for validation; "test" is that half too."""
    folder = root / f"VOC{year}"
    for name in ("JPEGImages", "SegmentationClass", "Annotations"):
        (folder / name).mkdir(parents=True)
    names = [f"{year}_{number:06}" for number in range(images)]
    for name, picture in zip(names, draw(images, len(CLASSES), size, seed=year), strict=True):
        picture.image.save(folder / "JPEGImages" / f"{name}.jpg")
        _write_mask(folder / "SegmentationClass" / f"{name}.png", picture)
        _annotation(name, picture).write(folder / "Annotations" / f"{name}.xml")
    train, val = names[: images // 2], names[images // 2 :]
    splits = {"train": train, "val": val, "trainval": names, "test": val}
    for task in ("Segmentation", "Main"):
        (folder / "ImageSets" / task).mkdir(parents=True)
        for split, members in splits.items():
            (folder / "ImageSets" / task / f"{split}.txt").write_text("\n".join(members) + "\n")
    return root


def _write_mask(path: Path, picture: Picture) -> None:
    mask = picture.mask(picture.label + 1)
    mask.paste(255, (picture.box[0] - 1, picture.box[1] - 1, picture.box[2], picture.box[1]))
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    mask.save(path)


def _annotation(name: str, picture: Picture) -> ElementTree.ElementTree:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = f"VOC{name[:4]}"
    ElementTree.SubElement(root, "filename").text = f"{name}.jpg"
    size = ElementTree.SubElement(root, "size")
    for key, value in zip(("width", "height"), picture.image.size, strict=True):
        ElementTree.SubElement(size, key).text = str(value)
    ElementTree.SubElement(size, "depth").text = "3"
    ElementTree.SubElement(root, "segmented").text = "1"
    found = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(found, "name").text = CLASSES[picture.label]
    for key in ("truncated", "difficult"):
        ElementTree.SubElement(found, key).text = "0"
    box = ElementTree.SubElement(found, "bndbox")
    # The first pixel is 1 there, and the last one belongs to the box.
    edges = (picture.box[0] + 1, picture.box[1] + 1, picture.box[2], picture.box[3])
    for key, value in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True):
        ElementTree.SubElement(box, key).text = str(value)
    return ElementTree.ElementTree(root)
