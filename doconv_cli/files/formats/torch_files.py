"""PyTorch's checkpoints: state dicts in its own container, or in safetensors."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from doconv_cli.files import messages as format_messages
from doconv_cli.files.formats.array_file import ArrayFile
from doconv_cli.files.layers.layers import Array, Stored
from doconv_core import messages
from doconv_core.checkpoint import read_bytes
from doconv_core.files.header import read_header


class _TensorFile(ArrayFile):
    source = "torch"

    def dtype(self, key: str) -> str:
        tensor = self.arrays[key]
        dense = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
        return str(tensor.dtype).removeprefix("torch.") if dense else ""

    def numpy(self, key: str) -> Array:
        tensor = self.arrays[key].detach()
        array: Array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
        return array

    def native(self, stored: Stored) -> torch.Tensor:
        array = np.ascontiguousarray(stored.array)
        return torch.from_numpy(array).to(getattr(torch, stored.dtype))


class TorchFile(_TensorFile):
    """What ``torch.save`` wrote: a state dict, or a dict with state dicts among its values.

    Read with ``weights_only=True``, so that no code in the file is run. Everything that is not a
    layer's array is kept. If there are several state dicts (``model`` and ``model_ema``, say), a
    layer's name starts with its dict's: ``model_ema/conv1``.
    """

    separators = "./"

    def read(self, path: Path) -> dict[str, Any]:
        data = read_bytes(path)
        try:
            with warnings.catch_warnings():
                # of pickle protocols other than 2, which it then reads, or fails to
                warnings.simplefilter("ignore")
                content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as fault:
            raise ValueError(
                messages.files.bad_file(path, format_messages.NOT_ONLY_TENSORS)
            ) from fault
        except Exception as fault:  # whatever damaged bytes lead to
            raise ValueError(messages.files.bad_file(path, format_messages.NOT_TORCH)) from fault
        if not isinstance(content, dict):
            raise ValueError(messages.files.bad_file(path, format_messages.NOT_TORCH))
        self._content = content
        self._sections = _sections(content)
        self.recorded = {
            prefix + name: bool(record["transposed"])
            for prefix, section in self._sections.items()
            for name, record in getattr(section, "_metadata", {}).items()
            if "transposed" in record
        }
        return {
            prefix + key: value
            for prefix, section in self._sections.items()
            for key, value in section.items()
        }

    def write(self, arrays: dict[str, Any], temporary: Path) -> None:
        content = copy.copy(self._content)
        for prefix, section in self._sections.items():
            own = {key[len(prefix) :]: arrays[key] for key in arrays if key.startswith(prefix)}
            new = _like(section, own)
            for key, value in content.items():
                if value is section:
                    content[key] = new
            if section is self._content:
                content = new
        # torch.save reports a full disk as an error of its own that does not say so.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        temporary.write_bytes(buffer.getbuffer())


def _sections(content: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """The state dicts with convolutions in a file, by the prefix of their layers' names."""
    inner = {f"{key}/": value for key, value in content.items() if _is_state_dict(value)}
    if not inner:
        return {"": content} if _is_state_dict(content) else {}
    return inner if len(inner) > 1 else dict.fromkeys([""], *inner.values())


def _is_state_dict(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(item, torch.Tensor) and item.ndim >= 3 for item in value.values())


def _like(section: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict of the same class and with the same attributes: torch keeps versions in one."""
    new = copy.copy(section)
    new.clear()
    new.update(values)
    return new


class SafetensorsFile(_TensorFile):
    """A state dict in safetensors, with the header's metadata kept."""

    def read(self, path: Path) -> dict[str, Any]:
        import safetensors.torch

        data = read_bytes(path)
        header = read_header(data, path)
        self._metadata = header.metadata
        try:
            tensors = safetensors.torch.load(data)
        except (safetensors.SafetensorError, KeyError) as fault:  # KeyError: a type of its own
            raise ValueError(messages.files.bad_file(path, str(fault))) from fault
        return {key: tensors[key] for key in header.dtypes}  # in the file's order

    def write(self, arrays: dict[str, Any], temporary: Path) -> None:
        import safetensors.torch

        arrays = {key: tensor.contiguous() for key, tensor in arrays.items()}
        temporary.write_bytes(safetensors.torch.save(arrays, self._metadata or None))
