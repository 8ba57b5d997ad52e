"""A small sound file of every format that the command reads, and how it is folded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Format(NamedTuple):
    """One format.

    Attributes:
        suffix: of its names.
        make: writes a file.
        options: of ``fold``.
        beside: writes what ``fold`` needs beside it into a folder, and gives further options.
    """

    suffix: str
    make: Callable[[Path], None]
    options: tuple[str, ...] = ()
    beside: Callable[[Path], tuple[str, ...]] | None = None


def _state() -> dict[str, Any]:
    import torch
    from torch import nn

    import doconv_torch

    torch.manual_seed(0)
    model = doconv_torch.convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 2, groups=2)))
    for name, parameter in model.named_parameters():
        if name.endswith("D"):
            nn.init.normal_(parameter, std=0.1)
    return dict(model.state_dict())


def _torch(path: Path, *, archive: bool) -> None:
    import argparse
    import collections

    import torch

    content = {
        "model": collections.OrderedDict(_state()),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": list(range(6))}]},
        "args": argparse.Namespace(lr=0.1, mean=np.ones(3)),
        "epoch": 3,
    }
    torch.save(content, path, _use_new_zipfile_serialization=archive)


def _safetensors(path: Path) -> None:
    import safetensors.torch

    state = {key: tensor.contiguous() for key, tensor in _state().items()}
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})


def _neutral(path: Path) -> None:
    from doconv_core import DOConvSpec, LayerState
    from doconv_core.checkpoint import save

    rng = np.random.default_rng(0)
    spec = DOConvSpec(4, 4, (2, 2), groups=2, D_mul=5)
    save(
        path, {"a": LayerState(spec, rng.normal(size=spec.W_shape), rng.normal(size=spec.D_shape))}
    )


def _gluon(path: Path) -> None:
    from doconv_gluon.mxnet import mx

    arrays = {key: mx.nd.array(value.numpy()) for key, value in _state().items()}
    mx.nd.save(str(path), arrays)


def _keras_model() -> Any:
    import keras

    import doconv_tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    )
    return doconv_tf.convert(model)


def _keras_beside(folder: Path) -> tuple[str, ...]:
    _keras_model().save(folder / "model.keras")
    return ("--model", str(folder / "model.keras"))


def _official(path: Path, *, numbered: bool) -> None:
    import h5py

    rng = np.random.default_rng(0)
    arrays = {"kernel:0": (9, 3, 4), "D:0": (9, 9, 3), "bias:0": (4,)}
    with h5py.File(path, "w") as file:
        for index, (name, shape) in enumerate(arrays.items()):
            key = f"layers/do_conv2d/vars/{index}" if numbered else f"do_conv2d/do_conv2d/{name}"
            file[key] = rng.normal(size=shape).astype("float32")
        if not numbered:
            names = [f"do_conv2d/{name}" for name in arrays]
            file["do_conv2d"].attrs["weight_names"] = np.array(names, dtype="S")


FORMATS: dict[str, Format] = {
    "pt": Format(".pt", lambda path: _torch(path, archive=True), ("--transposed", "none")),
    "pt legacy": Format(".pt", lambda path: _torch(path, archive=False), ("--transposed", "none")),
    "safetensors": Format(".safetensors", _safetensors, ("--transposed", "none")),
    "neutral": Format(".safetensors", _neutral),
    "params": Format(".params", _gluon, ("--transposed", "none")),
    "keras": Format(".keras", lambda path: _keras_model().save(path)),
    "weights.h5": Format(
        ".weights.h5", lambda path: _keras_model().save_weights(path), beside=_keras_beside
    ),
    "official weights.h5": Format(
        ".weights.h5", lambda path: _official(path, numbered=True), ("--kernel-size", "square")
    ),
    "official h5": Format(
        ".h5", lambda path: _official(path, numbered=False), ("--kernel-size", "square")
    ),
}


def sound(name: str) -> bytes:
    """The bytes of a sound file."""
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound{form.suffix}"
        form.make(path)
        return path.read_bytes()
