"""The arrays of a file by layer: what the finders of layers look at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from doconv_cli.files.layers.entries import Content
from doconv_core import messages

Shape = tuple[int, ...]
Keys = dict[str, str]
"""The keys of one layer, by the arrays' own names."""


class Arrays(Protocol):
    """The floating-point arrays of a file, by key."""

    separators: str
    """What may stand between a layer's name and an array's."""

    source: str
    """Whose official layers may be in the file: "torch" or "gluon"; "" for nobody's."""

    recorded: Mapping[str, bool]
    """Whether a layer is transposed, where the file says it."""

    @property
    def arrays(self) -> Mapping[str, Content]:
        """Those of a convolution's types."""


_NAMES = "weight|bias|D|W_extra|W|d_diag|D_diag"
# How torch.nn.utils.parametrize stores a weight that doconv_torch over-parameterized.
_PARAMETRIZED = re.compile(
    r"(?P<prefix>(?:.*\.)?)parametrizations\.weight\.(?:original|0\.(?P<array>D|W_extra))",
    re.DOTALL,
)


def by_layer(file: Arrays) -> dict[str, Keys]:
    """Group the keys of arrays that may belong to a convolution.

    Returns:
        Prefix, i.e. a layer's name with the separator behind it, to its keys.

    Raises:
        ValueError: a layer has an array under two keys.
    """
    pattern = re.compile(rf"(?P<prefix>(?:.*[{file.separators}])?)(?P<array>{_NAMES})", re.DOTALL)
    found: dict[str, Keys] = {}
    for key, content in file.arrays.items():
        match = _PARAMETRIZED.fullmatch(key) or pattern.fullmatch(key)
        if match is None:
            continue
        array = match["array"] or "weight"
        if array in {"W", "D", "W_extra"} and len(content.shape) != 3:
            continue  # of some other kind of layer
        if found.setdefault(match["prefix"], {}).setdefault(array, key) != key:
            raise ValueError(messages.files.array_twice(match["prefix"][:-1], array))
    return found


def looks_like_D(key: str, separators: str) -> bool:
    """Whether a key, by its name alone, may be of a D or of W's further columns."""
    match = _PARAMETRIZED.fullmatch(key)
    own = re.split(f"[{separators}]", key)[-1] if match is None else match["array"]
    return own in {"D", "W_extra"}


def names_an_array(key: str) -> bool:
    """Whether a key of PyTorch's may be of a convolution's W or D."""
    return _PARAMETRIZED.fullmatch(key) is not None or key.rpartition(".")[2] in {
        "weight",
        "W",
        "D",
    }


def channels(file: Arrays) -> set[int]:
    """How many channels anything in the file gives: a norm, a linear layer, a convolution."""
    return {
        content.shape[0]
        for key, content in file.arrays.items()
        if content.shape and key.endswith(("weight", "gamma", "bias", "beta", "running_mean"))
    }
