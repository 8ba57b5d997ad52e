"""Keeping an optimizer and a converted model together."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from doconv_core import messages

New = tuple[nn.Parameter, list[nn.Parameter]]
"""A weight, and the parameters that conversion put beside it."""


def add_parameters(optimizer: Optimizer, converted: Iterable[New]) -> None:
    """Add new parameters to the group of the weight they belong to (its options apply)."""
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for weight, parameters in converted:
        group = group_of.get(id(weight))
        if group is None:  # the weight is not trained by this optimizer, so neither is D
            continue
        for parameter in parameters:
            if id(parameter) not in group_of:
                group["params"].append(parameter)
                group_of[id(parameter)] = group


def warn_if_not_trained(converted: Iterable[New]) -> None:
    """Warn once, at the next optimizer step that updates these weights but not their D.

    An optimizer built before conversion would otherwise train without D in silence. The hook
    removes itself when it has seen every weight in an optimizer, or the weights are gone.
    """
    watched = [
        (weakref.ref(weight), [weakref.ref(p) for p in parameters])
        for weight, parameters in converted
    ]

    def check(optimizer: Optimizer, *_: Any) -> None:
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        forgotten = 0
        for entry in watched[:]:
            weight, parameters = entry[0](), [ref() for ref in entry[1]]
            if weight is None:
                watched.remove(entry)
            elif id(weight) in trained:
                watched.remove(entry)
                forgotten += any(
                    p is not None and p.requires_grad and id(p) not in trained for p in parameters
                )
        if not watched:
            handle.remove()
        if forgotten:
            warnings.warn(messages.offset_not_trained(forgotten), UserWarning, stacklevel=2)

    if watched:
        handle = register_optimizer_step_pre_hook(check)
