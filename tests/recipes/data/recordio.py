"""ImageNet as MXNet's im2rec packs it: JPEG images with their labels, and an index.

ROOT/rec/{train,val}.{rec,idx}
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from doconv_gluon.mxnet import mx
from tests.recipes.data.pictures import draw


def write(
    root: Path, *, images: int = 4, classes: int = 2, size: tuple[int, int] = (40, 36)
) -> Path:
    """As many images in each of the two splits."""
    (root / "rec").mkdir(parents=True)
    for seed, split in enumerate(("train", "val")):
        index, records = (str(root / "rec" / f"{split}.{kind}") for kind in ("idx", "rec"))
        file = mx.recordio.MXIndexedRecordIO(index, records, "w")
        for number, picture in enumerate(draw(images, classes, size, seed)):
            header = mx.recordio.IRHeader(0, picture.label, number, 0)
            pixels = np.asarray(picture.image)[..., ::-1]  # OpenCV's order
            file.write_idx(number, mx.recordio.pack_img(header, pixels, quality=95))
        file.close()
    return root
