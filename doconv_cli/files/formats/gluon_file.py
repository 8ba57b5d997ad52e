"""Gluon's parameter files, read and written by MXNet."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np

from doconv_cli.files import messages as format_messages
from doconv_cli.files.formats.array_file import ArrayFile
from doconv_cli.files.layers.layers import Array, Stored
from doconv_core import messages
from doconv_core.checkpoint import read_bytes
from doconv_gluon.mxnet import mx


class GluonFile(ArrayFile):
    """What ``block.save_parameters``, ``ParameterDict.save`` or ``mx.nd.save`` wrote."""

    separators = "._"
    source = "gluon"

    def read(self, path: Path) -> dict[str, Any]:
        try:
            arrays = mx.nd.load_frombuffer(read_bytes(path))
        except mx.MXNetError as fault:
            raise ValueError(messages.files.bad_file(path, format_messages.NOT_GLUON)) from fault
        if not isinstance(arrays, dict):
            raise ValueError(messages.files.bad_file(path, "its arrays have no names"))
        return arrays

    def write(self, arrays: dict[str, Any], temporary: Path) -> None:
        try:
            mx.nd.save(str(temporary), arrays)
            # What it buffers can fail to reach a full disk without an error; so read it back.
            mx.nd.load_frombuffer(read_bytes(temporary))
        except mx.MXNetError as fault:
            raise OSError(errno.EIO, messages.files.not_written()) from fault

    def dtype(self, key: str) -> str:
        array = self.arrays[key]
        return np.dtype(array.dtype).name if array.stype == "default" else ""

    def numpy(self, key: str) -> Array:
        array: Array = self.arrays[key].asnumpy()
        return array

    def native(self, stored: Stored) -> Any:
        if stored.dtype == "bfloat16":
            raise ValueError(messages.files.no_bfloat16(self.path))
        made = mx.nd.empty(stored.array.shape, dtype=stored.dtype)
        made[:] = stored.array.astype(stored.dtype)
        return made
