"""Keras files of the authors' TensorFlow layers: ``.h5`` of Keras 2, ``.weights.h5`` of Keras 3.

The first name their arrays, ``do_conv2d/kernel:0``; the second number them, and name a layer by its
class, so that the plain model's has another path.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from doconv_cli.files import messages as format_messages
from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats import hdf5
from doconv_cli.files.formats.checkpoint import Check, CheckpointFile, Options
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.entries import RAW, Array, Content, Made
from doconv_cli.files.layers.find_official import asked_kernel_size, official_layer, sizes_alone
from doconv_cli.files.layers.layers import DOLayer, Layer, PlainLayer
from doconv_core import DOConvSpec, messages, official
from doconv_core.files.reading import open_regular

_CLASS = re.compile(r"do_conv2d(?P<number>_\d+)?")
_OPTIMIZER = "optimizer_weights"


class OfficialH5File(CheckpointFile):
    """One of these files; ``convert`` is for models, by ``doconv_tf.load_official``."""

    def __init__(self, path: Path, options: Options) -> None:
        super().__init__(path, options)
        with open_regular(path) as file:
            size = file.seek(0, 2)
        try:
            self._file = h5py.File(path, "r")
            hdf5.check(self._file, size, options.limits)
            items = {
                key: item
                for key, item in hdf5.datasets(self._file)
                if item.dtype.name in RAW and key.split("/")[0] != _OPTIMIZER
            }
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as fault:
            said = str(fault) if isinstance(fault, ValueError) else format_messages.NOT_HDF5
            raise ValueError(messages.files.bad_file(path, said)) from fault
        self._keys = dict(_named(items))
        self._contents: dict[str, Content] = {
            name: Made(items[key].dtype.name, items[key].shape, _reader(items[key], path))
            for name, key in self._keys.items()
        }

    @property
    def is_official(self) -> bool:
        """Whether there is a layer of theirs."""
        return any(isinstance(layer, DOLayer) for layer in self.layers(Hints()))

    def layers(self, hints: Hints) -> list[Layer]:
        sizes = {name: sizes_alone(content) for name, content in self._contents.items()}
        found = official.read(sizes, "tf")
        layers: list[Layer] = []
        for name in dict.fromkeys(str(PurePosixPath(key).parent) for key in self._contents):
            own = found.get(name)
            if own is not None and own.D is not None:
                weight = next(key for key in own.keys if "kernel" in PurePosixPath(key).name)
                size = asked_kernel_size(name, own, hints)
                layers.append(official_layer(own, self._contents, weight, size, "kIO"))
                continue
            for array in ("kernel", "kernel:0"):
                content = self._contents.get(f"{name}/{array}")
                if content is not None and 3 <= len(content.shape) <= 5:
                    *spatial, channels, outputs = content.shape
                    layers.append(
                        PlainLayer(
                            name, f"{name}/{array}", (outputs, channels, *spatial), content.dtype,
                            self._bias(name),
                        )
                    )  # fmt: skip
        return layers

    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None, check: Check) -> None:
        new = {key: made for layer in layers for key, made in layer.plain(dtype).items()}
        gone = {key for layer in layers for key in layer.keys} - new.keys()
        renamed = self._renamed(layers)
        with self.replacing(out) as temporary:
            with h5py.File(temporary, "w") as made:
                replaced = {self._keys[key]: content for key, content in new.items()}
                dropped = {self._keys[key] for key in gone}
                try:
                    self._copy(self._file, made, "", replaced, dropped, renamed)
                except (RuntimeError, KeyError, TypeError, AttributeError) as fault:
                    raise ValueError(
                        messages.files.bad_file(self.path, format_messages.NOT_HDF5)
                    ) from fault
            if check is not None:
                check(_Renamed(temporary, self.options, layers, renamed))

    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path, check: Check) -> None:
        raise UsageError(
            "convert: such a file becomes one of this library's through its model, by "
            'doconv_tf.load_official(model, checkpoint, source="tf")'
        )

    def array(self, key: str) -> Array:
        content = self._contents[key]
        assert isinstance(content, Made)
        return np.moveaxis(content.make(), (-1, -2), (0, 1))

    def _bias(self, name: str) -> int:
        shapes = (self._contents[key].shape for key in (f"{name}/bias", f"{name}/bias:0")
                  if key in self._contents)  # fmt: skip
        return next((shape[0] for shape in shapes if len(shape) == 1), 0)

    def _renamed(self, layers: list[DOLayer]) -> dict[str, str]:
        """Paths of Keras 3's groups to those of the plain model."""
        groups = {self._keys[layer.weight].split("/vars/")[0] for layer in layers
                  if "/vars/" in self._keys[layer.weight]}  # fmt: skip
        renamed: dict[str, str] = {}
        for path in sorted(groups):
            holder, _, own = path.rpartition("/")
            match = _CLASS.fullmatch(own)
            if match is None:
                continue
            siblings = self._file[holder].keys()
            if any(re.fullmatch(r"conv2d(_\d+)?", sibling) for sibling in siblings):
                raise UsageError(
                    f"{holder!r} has both do_conv2d and conv2d, which the plain model numbers "
                    "together, and the file does not tell their order: load it into the plain "
                    'model by doconv_tf.load_official(model, checkpoint, source="tf")'
                )
            renamed[path] = f"{holder}/conv2d{match['number'] or ''}"
        return renamed

    def _copy(
        self, source: Any, target: Any, path: str,
        new: dict[str, Content | str], gone: set[str], renamed: dict[str, str],
    ) -> None:  # fmt: skip
        """Copy a group with some datasets replaced, and Keras's lists of names with it."""
        for name, value in source.attrs.items():
            target.attrs[name] = _edited(name, value)
        numbers = {} if PurePosixPath(path).name != "vars" else _renumbered(source, path, gone)
        for name in source:
            key = f"{path}{name}"
            if key == _OPTIMIZER:
                self.notes.append("the optimizer's state: left out, for it does not fit")
            elif key in new:
                content = new[key]
                assert isinstance(content, Made)
                target.create_dataset(numbers.get(name, name), data=content.make())
            elif isinstance(source[name], h5py.Group):
                place = renamed.get(key, key).rpartition("/")[2]
                group = target.create_group(place)
                self._copy(source[name], group, f"{key}/", new, gone, renamed)
            elif key not in gone:
                source.copy(name, target, name=numbers.get(name, name))


class _Renamed(OfficialH5File):
    """What was written, by the names that its layers had."""

    def __init__(
        self, path: Path, options: Options, layers: list[DOLayer], renamed: dict[str, str]
    ) -> None:
        super().__init__(path, options)
        for layer in layers:
            for old, new in renamed.items():
                if layer.weight.startswith(f"{old}/"):
                    self._contents[layer.weight] = self._contents[
                        new + layer.weight.removeprefix(old)
                    ]


def _named(items: dict[str, Any]) -> list[tuple[str, str]]:
    """Names of arrays, as the official reader takes them, and the datasets' paths."""
    named = []
    for key, item in items.items():
        holder, vars_, number = key.rpartition("/vars/")
        if not vars_ or not number.isdigit():
            named.append((key, key))
            continue
        own = [items[f"{holder}/vars/{i}"].shape for i in range(4)
               if f"{holder}/vars/{i}" in items]  # fmt: skip
        theirs = len(own) > 1 and len(own[0]) == len(own[1]) == 3
        arrays = ["kernel", "D", "bias"] if theirs else ["kernel", "bias"]
        # A convolution; of any other layer the numbers stay.
        known = len(own[0]) >= 3 and int(number) < len(arrays)
        named.append((f"{holder}/{arrays[int(number)]}" if known else key, key))
        del item
    return named


def _reader(item: Any, path: Path) -> Any:
    def read() -> Array:
        try:
            return np.asarray(item[()])
        except (OSError, RuntimeError, ValueError) as fault:
            raise ValueError(messages.files.bad_file(path, format_messages.NOT_HDF5)) from fault

    return read


def _renumbered(source: Any, path: str, gone: set[str]) -> dict[str, str]:
    """The variables of a layer are numbered without holes."""
    left = sorted((name for name in source if f"{path}{name}" not in gone), key=len)
    return {
        name: str(number) for number, name in enumerate(sorted(left, key=lambda n: (len(n), n)))
    }


def _edited(name: str, value: Any) -> Any:
    """An attribute without D, and with the plain class."""
    if name == "weight_names":
        kept = [each for each in value if not re.search(rb"(^|/)D(:0)?$", _bytes(each))]
        return np.array(kept, dtype=np.asarray(value).dtype) if len(kept) else value[:0]
    if name == "model_config":
        try:
            return json.dumps(_plain(json.loads(value)))
        except (ValueError, TypeError, RecursionError):
            return value
    return value


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _plain(config: Any) -> Any:
    """A model's configuration with Keras's own layer in the place of theirs."""
    if isinstance(config, list):
        return [_plain(each) for each in config]
    if not isinstance(config, dict):
        return config
    config = {key: _plain(value) for key, value in config.items()}
    if config.get("class_name") == "DOConv2D":
        config["class_name"] = "Conv2D"
        if "module" in config:
            config |= {"module": "keras.layers", "registered_name": None}
        if isinstance(config.get("config"), dict):
            config["config"].pop("D_mul", None)
    return config
