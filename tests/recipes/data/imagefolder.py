"""ImageNet as folders of images: a folder a class.

ROOT/{train,val}/n01440764/n01440764_0.JPEG
"""

from __future__ import annotations

from pathlib import Path

from tests.recipes.data.pictures import draw

CLASSES = ("n01440764", "n01443537", "n01484850")


def write(root: Path, *, images: int = 6, size: tuple[int, int] = (40, 36)) -> Path:
    """As many images in each of the two splits; the classes take turns."""
    for seed, split in enumerate(("train", "val")):
        for number, picture in enumerate(draw(images, len(CLASSES), size, seed)):
            folder = root / split / CLASSES[picture.label]
            folder.mkdir(parents=True, exist_ok=True)
            picture.image.save(folder / f"{folder.name}_{number}.JPEG", format="JPEG")
    return root
