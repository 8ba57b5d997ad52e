"""What else than DO-Conv layers the authors' checkpoints hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from doconv_core import messages


def matched(
    variables: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> list[tuple[Any, NDArray[Any]]]:
    """Each variable of a model with its array.

    Raises:
        ValueError: one is missing on either side, or of another shape.
    """
    missing, unexpected = variables.keys() - arrays.keys(), arrays.keys() - variables.keys()
    if missing or unexpected:
        raise ValueError(messages.files.official_variables(sorted(missing), sorted(unexpected)))
    for path, array in arrays.items():
        if array.shape != (expected := tuple(variables[path].shape)):
            raise ValueError(messages.layer.bad_shape(path, array.shape, expected))
    return [(variables[path], array) for path, array in arrays.items()]
