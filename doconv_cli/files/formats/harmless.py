"""What a checkpoint of PyTorch may hold beside tensors. None of it is made here, nor imported."""

from __future__ import annotations

import re

from doconv_cli.files.formats.inert import Global

_NAMES = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "_codecs.encode",
    "copyreg._reconstructor",
    *(f"collections.{name}" for name in ("OrderedDict", "defaultdict", "deque", "Counter")),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"builtins.{name}" for name in (
        "bool", "int", "float", "complex", "str", "bytes", "bytearray", "tuple", "list", "dict",
        "set", "frozenset", "slice", "range", "object",
    )),
    *(f"numpy.{name}" for name in ("dtype", "ndarray")),
    *(f"numpy.core.multiarray.{name}" for name in ("scalar", "_reconstruct")),
    "numpy.core.numeric._frombuffer",
    *(f"torch.{name}" for name in ("Size", "device", "Tensor", "Generator")),
    *(f"torch._utils.{name}" for name in (
        "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor",
        "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor",
    )),
    "torch._tensor._rebuild_from_type_v2",
    "torch.serialization._get_layout",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.storage.UntypedStorage",
}  # fmt: skip
_PATTERN = re.compile(
    r"torch\.(\w+Storage|per_\w+|q?u?int\d+|b?float\d+\w*|complex\d+|bool|long|short|int|float|"
    r"double|half|strided|sparse_\w+)|"
    r"pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path|"
    r"numpy\.(dtypes\.\w+DType|[a-z]+\d+_?|bool_?|str_|bytes_|longlong)"
)


def is_harmless(node: Global, allowed: frozenset[str]) -> bool:
    """Whether a name is one of those, or was allowed by ``--allow``."""
    name = str(node)
    return name in _NAMES or name in allowed or bool(_PATTERN.fullmatch(name))
