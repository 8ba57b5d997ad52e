"""Pascal VOC's augmented set (SBD) as it is on disk: masks for more of its images, from MATLAB.

ROOT/VOCaug/dataset/img/2012_000000.jpg
ROOT/VOCaug/dataset/cls/2012_000000.mat     GTcls.Segmentation
ROOT/VOCaug/dataset/{trainval,val}.txt
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import io

from tests.recipes.data.pictures import draw
from tests.recipes.data.voc import CLASSES


def write(root: Path, *, images: int = 4, size: tuple[int, int] = (96, 64)) -> Path:
    """All images are for training; half of them are for validation, too."""
    folder = root / "VOCaug" / "dataset"
    for name in ("img", "cls"):
        (folder / name).mkdir(parents=True)
    names = [f"2012_{number:06}" for number in range(images)]
    for name, picture in zip(names, draw(images, len(CLASSES), size), strict=True):
        picture.image.save(folder / "img" / f"{name}.jpg")
        mask = {"Segmentation": np.array(picture.mask(picture.label + 1))}
        io.savemat(folder / "cls" / f"{name}.mat", {"GTcls": mask})
    for split, members in (("trainval", names), ("val", names[images // 2 :])):
        (folder / f"{split}.txt").write_text("\n".join(members) + "\n")
    return root
