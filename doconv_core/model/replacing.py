"""Which convolutions ``convert_depthwise`` replaces, with which corner, and what it says of it."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from doconv_core import messages
from doconv_core.neighbours.xsepconv import CORNERS

logger = logging.getLogger("doconv")


class Found(NamedTuple):
    """A convolution of a model: all its names, and why it cannot be replaced ("" if it can)."""

    names: list[str]
    layer: Any
    reason: str


class Replaced(NamedTuple):
    """A convolution that is to be replaced, and the corner of what replaces it."""

    name: str
    layer: Any
    corner: int


def plan(
    found: Iterable[Found], where: Callable[[str, Any], bool] | None, already: int
) -> tuple[list[Replaced], Counter[str]]:
    """Choose among a model's convolutions, in its order.

    Args:
        found: every convolution once.
        where: ``where(name, layer)``; None picks all.
        already: XSepConv layers that the model has; the corners go on after theirs.

    Returns:
        What is replaced, and how many are left for each reason.
    """
    replaced: list[Replaced] = []
    reasons: Counter[str] = Counter()
    for names, layer, reason in found:
        if not reason and where and not any(where(name, layer) for name in names):
            reason = messages.model.NOT_SELECTED
        if reason:
            reasons[reason] += 1
        else:
            corner = (already + len(replaced)) % len(CORNERS)
            replaced.append(Replaced(names[0], layer, corner))
    return replaced, reasons


def report(replaced: list[Replaced], reasons: Counter[str], already: int) -> None:
    """Say what was done: at INFO what and why not, at WARNING that the output is another one."""
    logger.info(
        "convert_depthwise: %d of %d convolutions replaced%s",
        len(replaced),
        len(replaced) + sum(reasons.values()),
        "".join(f"; {count} left: {reason}" for reason, count in reasons.items()),
    )
    if replaced:
        logger.warning(messages.neighbours.not_preserving(len(replaced)))
    elif not already:
        warnings.warn(messages.neighbours.NOTHING_REPLACED, UserWarning, stacklevel=3)
