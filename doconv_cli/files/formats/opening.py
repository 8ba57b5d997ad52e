"""Which format a file is of: by its name's end, and for safetensors by its header."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats.checkpoint import CheckpointFile, Options
from doconv_core.checkpoint import is_neutral
from doconv_core.files.header import read_header
from doconv_core.files.reading import open_regular

_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
_FORMATS = {  # a framework is imported when a file of its own is read
    _TORCH: ("torch_file", "TorchFile"),
    (".safetensors",): ("safetensors_file", "SafetensorsFile"),
    (".safetensors.index.json",): ("safetensors_file", "ShardedFolder"),
    (".params",): ("gluon_file", "GluonFile"),
    (".keras",): ("keras_file", "KerasFile"),
    (".weights.h5",): ("keras_file", "KerasWeightsFile"),
    (".h5", ".hdf5"): ("official_h5", "OfficialH5File"),
}
_DISTRIBUTED = ("distributed_folder", "DistributedFolder")
METADATA = ".metadata"
"""What torch.distributed.checkpoint calls the index of a folder."""


def open_file(path: Path, options: Options) -> CheckpointFile:
    """Read a checkpoint of any format.

    Args:
        path: the file.
        options: how.

    Raises:
        UsageError: the name's end says no format, or the model is missing or not needed.
        ValueError, OSError, ImportError: as :class:`CheckpointFile`.
    """
    module, name = _format(path)
    if name == "KerasWeightsFile" and options.model is None:
        return _without_model(path, options)
    if name != "KerasWeightsFile" and options.model is not None:
        raise UsageError("--model is for .weights.h5 files only")
    if path.suffix == ".safetensors":
        with open_regular(path) as file:
            if is_neutral(read_header(file, path)):
                module, name = "neutral_file", "NeutralFile"
    file_class = getattr(import_module(f"doconv_cli.files.formats.{module}"), name)
    opened: CheckpointFile = file_class(path, options)
    return opened


def _without_model(path: Path, options: Options) -> CheckpointFile:
    """Weights of the authors' layers tell enough; those of this library's need their model."""
    from doconv_cli.files.formats.official_h5 import OfficialH5File

    file = OfficialH5File(path, options)
    if not file.is_official:
        raise UsageError(
            "--model MODEL.keras is needed for a .weights.h5 file, unless it is of the authors' "
            "own layers"
        )
    return file


def check_names(path: Path, out: Path, *, force: bool) -> None:
    """Raise UsageError unless ``out`` can be written, and is of the format of ``path``."""
    given, wanted = _format(path), _format(out, new=path)
    if given == _DISTRIBUTED:
        if wanted != _FORMATS[_TORCH]:
            raise UsageError("a folder of torch.distributed.checkpoint becomes one file: OUT.pt")
    elif given != wanted:
        raise UsageError(f"{str(out)!r} must be of the format of {str(path)!r}")
    if os.path.realpath(path) == os.path.realpath(out) or (out.exists() and path.samefile(out)):
        raise UsageError("OUT must be another file than FILE")
    if out.is_file() and not force and not out.stat().st_mode & 0o222:
        raise UsageError(f"{str(out)!r} is read-only; pass --force to replace it")


def _format(path: Path, new: Path | None = None) -> tuple[str, str]:
    for suffixes, found in _FORMATS.items():
        if path.name.endswith(suffixes):
            return found
    if path.is_dir() and (path / METADATA).exists():
        return _DISTRIBUTED
    if path.is_dir() or (new is not None and _format(new)[1] == "ShardedFolder"):
        return _FORMATS[(".safetensors.index.json",)]
    known = ", ".join(suffix for suffixes in _FORMATS for suffix in suffixes)
    raise UsageError(f"the name of {str(path)!r} must end in one of {known}")
