"""Keeping an optimizer and a converted model together."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from doconv_core import messages
from doconv_torch import messages as torch_messages

New = tuple[Tensor, dict[str, nn.Parameter]]
"""A weight, and by name the parameters that conversion put beside it."""


def add_parameters(optimizer: Optimizer, converted: Iterable[New]) -> None:
    """Add new parameters to the group of the weight they belong to (its options apply)."""
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for weight, parameters in converted:
        group = group_of.get(id(weight))
        if group is None:  # the weight is not trained by this optimizer, so neither is D
            continue
        for name, parameter in parameters.items():
            if id(parameter) in group_of:
                continue
            if "param_names" in group:  # the optimizer was built from named_parameters()
                position = next(i for i, p in enumerate(group["params"]) if p is weight)
                prefix = group["param_names"][position].removesuffix("weight")
                group["param_names"].append(prefix + name)
            group["params"].append(parameter)
            group_of[id(parameter)] = group


def remove_parameters(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """Take parameters out of an optimizer, with what it remembers of them."""
    unwanted = {id(p) for p in parameters}
    for group in optimizer.param_groups:
        kept = [i for i, p in enumerate(group["params"]) if id(p) not in unwanted]
        for each in ("params", "param_names"):
            if each in group:
                group[each][:] = [group[each][i] for i in kept]
    for parameter in parameters:
        optimizer.state.pop(parameter, None)


def refuse_partitioned(optimizer: Any) -> None:
    """Raise ValueError for an optimizer that has dealt its parameters out to processes.

    It would never update a parameter that comes later, and not say so.
    """
    distributed = sys.modules.get("torch.distributed.optim")  # not to be imported for this
    if isinstance(optimizer, getattr(distributed, "ZeroRedundancyOptimizer", ())):
        raise ValueError(torch_messages.partitioned_optimizer(type(optimizer).__name__))


_watched: list[tuple[weakref.ref[Tensor], list[weakref.ref[nn.Parameter]]]] = []


def warn_if_not_trained(converted: Iterable[New]) -> None:
    """Warn once, at the next optimizer step that updates these weights but not their D.

    An optimizer built before conversion would otherwise train without D in silence.
    """
    for weight, parameters in converted:
        _watched.append((weakref.ref(weight), [weakref.ref(p) for p in parameters.values()]))
    if _watched:
        _watch_every_step()


@cache  # once a process: torch cannot remove a hook while it runs the hooks (2.13)
def _watch_every_step() -> None:
    register_optimizer_step_pre_hook(_check)


def _check(optimizer: Optimizer, *_: Any) -> None:
    if not _watched:
        return
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    forgotten, unseen = 0, []
    for entry in _watched:
        weight, parameters = entry[0](), [ref() for ref in entry[1]]
        if weight is None:
            continue
        if id(weight) not in trained:
            unseen.append(entry)
            continue
        forgotten += any(
            p is not None and p.requires_grad and id(p) not in trained for p in parameters
        )
    _watched[:] = unseen
    if forgotten:
        # The user's own line: behind this function comes torch's wrapper of step().
        warnings.warn(messages.model.offset_not_trained(forgotten), UserWarning, stacklevel=3)
