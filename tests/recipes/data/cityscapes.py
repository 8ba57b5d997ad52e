"""Cityscapes as it is on disk: a folder a city, images and masks of label ids.

ROOT/leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png
ROOT/gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png
"""

from __future__ import annotations

from pathlib import Path

from tests.recipes.data.pictures import draw

EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids that count; 0 to 33 occur."""


def write(root: Path, *, images: int = 2, size: tuple[int, int] = (128, 64)) -> Path:
    """As many images in each of the two splits; what is around an object is unlabeled (0)."""
    for seed, (split, city) in enumerate((("train", "aachen"), ("val", "frankfurt"))):
        for kind in ("leftImg8bit", "gtFine"):
            (root / kind / split / city).mkdir(parents=True)
        for number, picture in enumerate(draw(images, len(EVALUATED), size, seed)):
            name = f"{city}_{number:06}_000019"
            picture.image.save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
            mask = picture.mask(EVALUATED[picture.label])
            mask.save(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png")
    return root
