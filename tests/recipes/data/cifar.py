"""CIFAR-10 and CIFAR-100 as their archives unpack, the python and the binary versions.

ROOT/cifar-10-batches-py/{data_batch_1,...,data_batch_5,test_batch}
ROOT/cifar-10-batches-bin/{data_batch_1,...,data_batch_5,test_batch}.bin
ROOT/cifar-100-python/{train,test}
ROOT/cifar-100-binary/{train,test}.bin

Source: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from tests.recipes.data.pictures import draw

TEN = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
HUNDRED = ("train", "test")


def write(root: Path, *, images: int = 4) -> Path:
    """As many images in each file; the same ones in both versions."""
    for names, classes, python, binary, keys in (
        (TEN, 10, "cifar-10-batches-py", "cifar-10-batches-bin", (b"labels",)),
        (HUNDRED, 100, "cifar-100-python", "cifar-100-binary", (b"coarse_labels", b"fine_labels")),
    ):
        (root / python).mkdir(parents=True)
        (root / binary).mkdir()
        for seed, name in enumerate(names):
            pictures = draw(images, classes, (32, 32), seed)
            data = np.stack([np.asarray(each.image).transpose(2, 0, 1) for each in pictures])
            data = data.reshape(images, 3072)
            labels = {key: [each.label for each in pictures] for key in keys}
            if len(keys) > 1:
                labels[keys[0]] = [each.label // 5 for each in pictures]
            content = {b"batch_label": name.encode(), b"data": data, **labels}
            (root / python / name).write_bytes(pickle.dumps(content, protocol=3))
            before = np.array([labels[key] for key in keys], np.uint8).T
            (root / binary / f"{name}.bin").write_bytes(np.hstack([before, data]).tobytes())
    return root
