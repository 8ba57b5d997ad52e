"""Which format a file is of: by its name's end, and for safetensors by its header."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_core.checkpoint import is_neutral, read_bytes
from doconv_core.files.header import read_header

_FORMATS = {  # a framework is imported when a file of its own is read
    (".pt", ".pth", ".bin", ".ckpt", ".tar"): ("torch_files", "TorchFile"),
    (".safetensors",): ("torch_files", "SafetensorsFile"),
    (".params",): ("gluon_file", "GluonFile"),
    (".keras",): ("keras_file", "KerasFile"),
    (".weights.h5",): ("keras_file", "KerasWeightsFile"),
}


def open_file(path: Path, model: Path | None = None) -> CheckpointFile:
    """Read a checkpoint of any format.

    Args:
        path: the file.
        model: a file of the model, for a format that holds weights only.

    Raises:
        UsageError: the name's end says no format, or the model is missing or not needed.
        ValueError, OSError, ImportError: as :class:`CheckpointFile`.
    """
    module, name = _FORMATS[_suffixes(path)]
    if (model is None) == (name == "KerasWeightsFile"):
        raise UsageError("--model MODEL.keras is needed for a .weights.h5 file, and only for one")
    if path.suffix == ".safetensors" and is_neutral(read_header(read_bytes(path), path)):
        module, name = "numpy_files", "NeutralFile"
    file_class = getattr(import_module(f"doconv_cli.files.formats.{module}"), name)
    file: CheckpointFile = file_class(path) if model is None else file_class(path, model)
    return file


def check_names(path: Path, out: Path) -> None:
    """Raise UsageError unless ``out`` is another file than ``path``, and of the same format."""
    if _suffixes(path) != _suffixes(out):
        raise UsageError(f"{str(out)!r} must be of the format of {str(path)!r}")
    if path.resolve() == out.resolve() or (out.exists() and path.samefile(out)):
        raise UsageError("OUT must be another file than FILE")


def _suffixes(path: Path) -> tuple[str, ...]:
    for suffixes in _FORMATS:
        if path.name.endswith(suffixes):
            return suffixes
    known = ", ".join(suffix for suffixes in _FORMATS for suffix in suffixes)
    raise UsageError(f"the name of {str(path)!r} must end in one of {known}")
