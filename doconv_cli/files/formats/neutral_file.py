"""This library's neutral files, which fold to the names and layout of a PyTorch state dict."""

from __future__ import annotations

from pathlib import Path

from doconv_cli.files.formats.array_file import ArrayFile, Stored, Written
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.formats.safetensors_file import (
    SafetensorsFile,
    content_of,
    read_contents,
    write_contents,
)
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.entries import Content, held
from doconv_cli.files.layers.layers import DOLayer, Layer
from doconv_core import DOConvSpec, messages
from doconv_core.checkpoint import load
from doconv_core.kernel.layout import from_canonical
from doconv_core.neighbours.condconv import CondConvSpec


class NeutralFile(ArrayFile):
    """A neutral file (:mod:`doconv_core.checkpoint`). It holds DO-Conv layers only."""

    dtypes = ("float16", "float32", "float64")

    def read(self, path: Path) -> dict[str, Stored]:
        self._state = load(path)
        for name, layer in self._state.items():
            if isinstance(layer.spec, CondConvSpec):
                raise ValueError(messages.files.condconv_layer(name))
        contents = read_contents(path)[1]
        return {key.removeprefix("."): content for key, content in contents.items()}

    def layers(self, hints: Hints) -> list[Layer]:
        layers: list[Layer] = []
        for name, own in self._state.items():
            assert isinstance(own.spec, DOConvSpec)  # read() refuses others
            layout = "IOk" if own.spec.transposed else "OIk"
            dtype, K = own.W.dtype.name, own.spec.K
            arrays: dict[str, Content] = {
                "weight": held(from_canonical(own.spec, own.W[..., :K], layout), dtype)
            }
            if own.D is not None:
                arrays["D"] = held(own.D, own.D.dtype.name)
            if own.spec.extra_columns:
                extra = from_canonical(own.spec, own.W[..., K:], layout, spatial=False)
                arrays["W_extra"] = held(extra, dtype)
            layers.append(
                DOLayer(
                    name=name,
                    spec=own.spec,
                    groups=own.spec.groups,
                    kernel_size=own.spec.kernel_size,
                    bias=0 if own.bias is None else own.bias.size,
                    dtype=dtype,
                    weight=_join(name, "weight"),
                    keys=tuple(_join(name, array) for array in ("W", "D")[: 1 + own.spec.has_D]),
                    arrays=arrays,
                )
            )
        return layers

    def write(self, contents: list[Written], temporary: Path) -> None:
        write_contents({new.key: content_of(new) for new in contents}, {}, temporary)

    def written(self, out: Path) -> CheckpointFile:
        return SafetensorsFile(out, self.options)


def _join(name: str, array: str) -> str:
    return f"{name}.{array}" if name else array
