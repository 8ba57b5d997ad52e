"""What convert and convert_depthwise take and what they leave, and what is said of it."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from doconv_core import messages

logger = logging.getLogger("doconv")

Where = Callable[[str, Any], bool]


class Candidate(NamedTuple):
    """A layer that could be changed: all its names, and why it cannot ("" if it can)."""

    names: list[str]
    layer: Any
    reason: str
    done: bool = False
    """Whether it has been changed already."""


class Plan(NamedTuple):
    """What is changed, how many layers are left for each reason, and how many were done before."""

    chosen: list[Candidate]
    reasons: Counter[str]
    already: int

    def leave(self, torn: Callable[[Any], bool], reason: str) -> Plan:
        """The same without some of the chosen layers."""
        chosen = [each for each in self.chosen if not torn(each.layer)]
        reasons = self.reasons + Counter({reason: len(self.chosen) - len(chosen)})
        return Plan(chosen, reasons, self.already)

    def report(self, verb: str, past: str, nothing: str) -> None:
        """Say at INFO what was done and why not; warn where there was nothing to do at all."""
        logger.info(
            "%s: %d of %d convolutions %s%s",
            verb,
            len(self.chosen),
            len(self.chosen) + sum(self.reasons.values()) + self.already,
            past,
            "".join(f"; {count} left: {reason}" for reason, count in self.reasons.items()),
        )
        if not self.chosen and not self.already:
            warnings.warn(nothing, UserWarning, stacklevel=3)


def plan(candidates: Iterable[Candidate], where: Where | None, root: Any = None) -> Plan:
    """Choose among a model's layers, in its order.

    Args:
        candidates: every layer once.
        where: ``where(name, layer)`` picks layers; None picks all.
        root: the model; where it is a layer itself that cannot be changed, that is an error.

    Raises:
        ValueError: the root cannot be changed.
    """
    found = list(candidates)
    decided = Plan([], Counter(), sum(each.done for each in found))
    for each in found:
        reason = each.reason
        if each.done:
            continue
        if each.layer is root and reason not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert("", type(root).__name__, reason))
        if not reason and where and not any(where(name, each.layer) for name in each.names):
            reason = messages.model.NOT_SELECTED
        if reason:
            decided.reasons[reason] += 1
        else:
            decided.chosen.append(each)
    return decided
