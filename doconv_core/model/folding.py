"""What fold does with the layers of a model, in every framework: all of it or nothing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar

from doconv_core import messages

logger = logging.getLogger("doconv")

Layer = TypeVar("Layer")
Kernel = TypeVar("Kernel")


def fold_layers(
    layers: Iterable[Layer],
    compute: Callable[[Layer], Kernel],
    restore: Callable[[Layer, Kernel], None],
) -> int:
    """Compute every kernel, and only then change the layers: an error leaves them as they were.

    Args:
        layers: the over-parameterized ones.
        compute: the kernel of a layer; it may raise.
        restore: makes a layer plain, with its kernel; it must not.

    Returns:
        How many there were.
    """
    kernels = [(layer, compute(layer)) for layer in layers]
    for layer, kernel in kernels:
        restore(layer, kernel)
    logger.info("fold: %d convolutions folded", len(kernels))
    return len(kernels)


def warn_if_D_is_left(count: int, left: Iterable[str], holder: str) -> None:
    """Warn where fold found no layer, but D's are there in another form.

    Args:
        count: of the layers that fold found.
        left: the names of D's that no layer of ours holds.
        holder: what holds them, in words.
    """
    names = list(left)
    if not count and names:
        warnings.warn(messages.model.D_is_left(names, holder), UserWarning, stacklevel=3)
