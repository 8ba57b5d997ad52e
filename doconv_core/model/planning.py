"""What convert takes of a model and what it leaves, and what is said of it.

The adapters walk their models and know their layers; every decision about the walk's result, and
every sentence about it, is here. ``convert_depthwise`` and the optimizer's way ask the same.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from doconv_core import messages
from doconv_core.kernel.spec import positive_integer

logger = logging.getLogger("doconv")

Where = Callable[[str, Any], bool] | str | Sequence[str]
"""How a user picks layers: ``where(name, layer)``, or the names of layers or of what holds them."""

EXPECTED = (messages.model.POINTWISE, messages.model.NOT_SELECTED, messages.model.TOO_LARGE)
"""Reasons that need no warning: nothing is lost by them, or the user has asked for them."""

LARGE = 2
"""How many times the rest of the model D may weigh before convert warns."""

MUCH = 10_000_000
"""How many numbers D must have for that: some 40 MB are nobody's trouble.

So MnasNet 0.5, which grows to three times its 2.2 million by 5x5 depthwise layers, passes: D, its
gradient and momentum are 53 MB, less than the activations of a batch. A warning that most people
who train small networks had to silence would be read by nobody.
"""


class Candidate(NamedTuple):
    """A layer that could be changed: all its names, and why it cannot ("" if it can)."""

    names: list[str]
    layer: Any
    reason: str
    done: bool = False
    """Whether it has been changed already."""
    K: int = 0
    """Its kernel elements; 0 where nobody asks."""


class Plan(NamedTuple):
    """What is changed, how many layers are left for each reason, and how many were done before."""

    chosen: list[Candidate]
    reasons: Counter[str]
    already: int

    def leave(self, torn: Callable[[Any], bool], reason: str) -> Plan:
        """The same without those of the chosen layers that must stay for a reason of their own."""
        chosen = [each for each in self.chosen if not torn(each.layer)]
        reasons = self.reasons + Counter({reason: len(self.chosen) - len(chosen)})
        return Plan(chosen, reasons, self.already)

    def report(self, verb: str, past: str, nothing: str) -> None:
        """Say at INFO what was done and why not; warn where there was nothing to do at all.

        Args:
            verb: what the user has called.
            past: what has become of the layers.
            nothing: the warning where there was no layer at all.
        """
        done = len(self.chosen) + self.already
        logger.info(
            "%s: %d of %d convolutions %s%s",
            verb,
            len(self.chosen),
            done + sum(self.reasons.values()),
            past,
            "".join(f"; {count} left: {reason}" for reason, count in self.reasons.items()),
        )
        if not done:
            warnings.warn(nothing, UserWarning, stacklevel=3)

    def warn_if_mostly_left(self) -> None:
        """Warn where convert could do little, for one reason that the user may not expect.

        And of any layer that waits for its shape: one batch more may bring it.
        """
        done = len(self.chosen) + self.already
        for reason, count in self.reasons.items():
            much = count > done or reason == messages.model.NEVER_CALLED
            if done and much and reason not in EXPECTED:
                said = messages.model.mostly_left(count, done, reason)
                warnings.warn(said, UserWarning, stacklevel=3)


def plan(
    candidates: Iterable[Candidate],
    where: Where | None = None,
    root: Any = None,
    *,
    max_kernel_elements: int | None = None,
) -> Plan:
    """Choose among a model's layers, in its order.

    Args:
        candidates: every layer once.
        where: picks layers; None picks all.
        root: the model; where it is a layer itself that cannot be changed, that is an error.
        max_kernel_elements: the largest K to change; None is no limit.

    Raises:
        ValueError: the root cannot be changed, or a name in ``where`` is that of no layer.
        TypeError: ``where`` is neither callable nor names.
    """
    found = list(candidates)
    if max_kernel_elements is not None:
        positive_integer("max_kernel_elements", max_kernel_elements)
    picked = _picker(where, found)
    decided = Plan([], Counter(), sum(each.done for each in found))
    for each in found:
        if each.done:
            continue
        reason = each.reason
        if each.layer is root and reason not in ("", messages.model.POINTWISE):
            kind = type(root).__name__
            raise ValueError(messages.model.cannot_convert("", kind, reason))
        # What the user did not ask for is no disappointment, whatever else would have kept it.
        if reason not in ("", *EXPECTED) and where is not None and not _asked(picked, each):
            reason = messages.model.NOT_SELECTED
        if not reason and not any(picked(name, each.layer) for name in each.names):
            reason = messages.model.NOT_SELECTED
        if not reason and max_kernel_elements is not None and max_kernel_elements < each.K:
            reason = messages.model.TOO_LARGE
        if reason:
            decided.reasons[reason] += 1
        else:
            decided.chosen.append(each)
    return decided


def warn_if_large(added: int, parameters: int, largest: str) -> None:
    """Warn where D, with ``added`` numbers, outweighs a model of so many parameters."""
    if added > max(MUCH, LARGE * parameters):
        said = messages.model.large_D(added, parameters, LARGE, largest)
        warnings.warn(said, UserWarning, stacklevel=3)


def _asked(picked: Callable[[str, Any], bool], each: Candidate) -> bool:
    """Whether the user would have had a layer changed that cannot be."""
    try:
        return any(picked(name, each.layer) for name in each.names)
    except Exception:  # it is of a kind that the user's function was not written for
        return True


def _picker(where: Where | None, found: list[Candidate]) -> Callable[[str, Any], bool]:
    if where is None:
        return lambda name, layer: True
    if callable(where):
        return where
    wanted = [where] if isinstance(where, str) else where
    if not isinstance(wanted, Sequence) or not all(isinstance(each, str) for each in wanted):
        raise TypeError(messages.model.bad_where(where))
    names = [name for each in found for name in each.names]
    for each in wanted:
        if not any(_is_within(name, each) for name in names):
            raise ValueError(messages.model.unknown_where(each, names))
    return lambda name, layer: any(_is_within(name, each) for each in wanted)


def _is_within(name: str, holder: str) -> bool:
    # Keras puts slashes between the parts of a name, the others dots.
    return name == holder or name.startswith((f"{holder}.", f"{holder}/"))
