"""CIFAR-10 and CIFAR-100 in their own python format."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(N, 3, 32, 32) and the classes."""

FILES = {
    "cifar-10": ([f"data_batch_{index}" for index in range(1, 6)], ["test_batch"], b"labels"),
    "cifar-100": (["train"], ["test"], b"fine_labels"),
}


class _PlainUnpickler(pickle.Unpickler):
    """Reads what these files hold, and calls nothing else that a file might name."""

    ALLOWED = frozenset(
        (module, name)
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "ndarray", "dtype")
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"a CIFAR file has no need of {module}.{name}")
        return super().find_class(module, name)


def read(folder: Path, name: str) -> tuple[Images, Images]:
    """Training and test images from an unpacked archive.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Python / Matlab versions".
    """
    training, test, labels = FILES[name]
    return _read(folder, training, labels), _read(folder, test, labels)


def _read(folder: Path, names: list[str], labels: bytes) -> Images:
    parts = []
    for name in names:
        with (folder / name).open("rb") as file:
            parts.append(_PlainUnpickler(file, encoding="bytes").load())
    images = np.concatenate([part[b"data"] for part in parts]).reshape(-1, 3, 32, 32)
    return images, np.concatenate([np.asarray(part[labels], np.uint8) for part in parts])
