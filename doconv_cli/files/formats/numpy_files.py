"""Safetensors files that NumPy can hold, above all this library's neutral ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from doconv_cli.files.formats.array_file import ArrayFile
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import Array, DOLayer, Layer, Stored
from doconv_core import DOConvSpec, State, messages
from doconv_core.checkpoint import load, read_bytes
from doconv_core.neighbours.condconv import CondConvSpec


class NumpyFile(ArrayFile):
    """What a neutral file folds to: names and layout of a PyTorch state dict."""

    def read(self, path: Path) -> dict[str, Any]:
        import safetensors.numpy

        return dict(safetensors.numpy.load(read_bytes(path)))

    def write(self, arrays: dict[str, Any], temporary: Path) -> None:
        import safetensors.numpy

        arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        temporary.write_bytes(safetensors.numpy.save(arrays))

    def dtype(self, key: str) -> str:
        return str(self.arrays[key].dtype.name)

    def numpy(self, key: str) -> Array:
        array: Array = self.arrays[key]
        return array

    def native(self, stored: Stored) -> Array:
        if stored.dtype == "bfloat16":
            raise ValueError(messages.files.no_bfloat16(self.path))
        return stored.array.astype(stored.dtype)


class NeutralFile(NumpyFile):
    """A neutral file (:mod:`doconv_core.checkpoint`). It holds DO-Conv layers only."""

    state: State

    def read(self, path: Path) -> dict[str, Any]:
        self.state = load(path)
        for name, layer in self.state.items():
            if isinstance(layer.spec, CondConvSpec):
                raise ValueError(messages.files.condconv_layer(name))
        return {
            _join(name, array): getattr(layer, array)
            for name, layer in self.state.items()
            for array in ("W", "D", "bias")
            if getattr(layer, array) is not None
        }

    def layers(self, hints: Hints) -> list[Layer]:
        return [
            DOLayer(
                name=name,
                spec=own.spec,
                groups=own.spec.groups,
                kernel_size=own.spec.kernel_size,
                W=own.W,
                D=own.D,
                bias=0 if own.bias is None else own.bias.size,
                dtype=own.W.dtype.name,
                weight=_join(name, "weight"),
                keys=tuple(_join(name, array) for array in ("W", "D")[: 1 + own.spec.has_D]),
            )
            for name, own in self.state.items()
            if isinstance(own.spec, DOConvSpec)  # read() refuses others
        ]

    def written(self, out: Path) -> NumpyFile:
        return NumpyFile(out)


def _join(name: str, array: str) -> str:
    return f"{name}.{array}" if name else array
