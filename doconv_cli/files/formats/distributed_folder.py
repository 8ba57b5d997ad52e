"""Folders of ``torch.distributed.checkpoint``, which become one file of ``torch.save``.

PyTorch's own utilities put the shards together. They unpickle the folder's index, and what is no
tensor, without any restriction: so every pickle in the folder is read as data first, and refused if
anything in it is not known.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

from doconv_cli.files import messages as format_messages
from doconv_cli.files.formats import inert, torch_archive
from doconv_cli.files.formats.array_file import Stored
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.formats.inert import DamagedError, Object
from doconv_cli.files.formats.torch_file import TorchFile, check_objects
from doconv_cli.files.layers.entries import OpenFile
from doconv_core import messages

_METADATA = "torch.distributed.checkpoint.metadata."
_OWN = frozenset(
    {
        *(_METADATA + name for name in (
            "Metadata", "MetadataIndex", "TensorStorageMetadata", "BytesStorageMetadata",
            "ChunkStorageMetadata", "TensorProperties", "StorageMeta", "_MEM_FORMAT_ENCODING",
        )),
        "torch.distributed.checkpoint.filesystem._StorageInfo",
    }
)  # fmt: skip


class DistributedFolder(TorchFile):
    """A folder that ``torch.distributed.checkpoint.save`` wrote. OUT is a .pt file."""

    def read(self, path: Path) -> dict[str, Stored]:
        try:
            self._check(path)
        except DamagedError as fault:
            raise ValueError(messages.files.bad_file(path, str(fault))) from fault
        self._scratch = tempfile.TemporaryDirectory(prefix="doconv-")
        whole = Path(self._scratch.name) / "whole.pt"
        try:
            from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
        except ImportError as fault:
            raise ImportError(messages.files.needs_package("torch", "such folders")) from fault
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what torch itself calls deprecated
                dcp_to_torch_save(path, whole)
        except Exception as fault:  # whatever damaged files lead to
            raise ValueError(messages.files.bad_file(path, format_messages.NOT_TORCH)) from fault
        return super().read(whole)

    def written(self, out: Path) -> CheckpointFile:
        return TorchFile(out, self.options)

    def _check(self, path: Path) -> None:
        source = OpenFile(path / ".metadata")
        self.options.limits.check_pickle(source.size)
        index = inert.read(source.file, source.size)
        check_objects(index, _OWN)
        infos = [
            node.state[0]
            for _, node in torch_archive.walk(index)
            if isinstance(node, Object)
            and str(node.function).endswith("._StorageInfo")
            and node.state
        ]
        for info in infos:
            name, start, size = _place(info)
            try:
                part = torch_archive.read_open(
                    OpenFile(path / name, start, size), self.options.limits
                )
            except ValueError as fault:
                raise DamagedError(f"{name!r} is shorter than the index says") from fault
            check_objects(part.tree, frozenset())


def _place(info: Any) -> tuple[str, int, int]:
    """Where an item lies: a file of the folder, its first byte and its number of bytes."""
    if isinstance(info, dict):
        name, start, size = (info.get(key) for key in ("relative_path", "offset", "length"))
        if isinstance(name, str) and name == Path(name).name and type(start) is type(size) is int:
            assert isinstance(start, int)
            assert isinstance(size, int)
            return name, start, size
    raise DamagedError("its index names files elsewhere, or is damaged")
