"""Keeping an optimizer and a converted model together."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from doconv_core import messages
from doconv_torch import messages as torch_messages


class New(NamedTuple):
    """What conversion put beside a weight."""

    weight: Tensor
    parameters: dict[str, nn.Parameter]
    """The new ones by name."""
    order: list[nn.Parameter]
    """All parameters of the layer, as ``parameters()`` lists them."""


def add_parameters(optimizer: Optimizer, converted: Iterable[New]) -> None:
    """Add new parameters to the group of the weight they belong to (its options apply).

    They come where an optimizer has them that is built from the converted model: states are
    matched by position, so each of the two can load what the other saved.
    """
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for weight, parameters, order in converted:
        group = group_of.get(id(weight))
        if group is None:  # the weight is not trained by this optimizer, so neither is D
            continue
        new = {id(p): name for name, p in parameters.items() if id(p) not in group_of}
        if not new:  # of a weight that layers share
            continue
        params, names = group["params"], group.get("param_names")
        at = next(i for i, p in enumerate(params) if p is weight)
        prefix = names[at].removesuffix("weight") if names else ""
        known = {id(p): names[i] if names else "" for i, p in enumerate(params)}
        known |= {identity: prefix + name for identity, name in new.items()}
        # The layer's own, where they stand together; else the new ones after the weight.
        own = {id(p) for p in order}
        first, last = at, at + 1
        while first and id(params[first - 1]) in own:
            first -= 1
        while last < len(params) and id(params[last]) in own:
            last += 1
        here = {id(p) for p in params[first:last]} | new.keys()
        params[first:last] = [p for p in order if id(p) in here]
        if names:  # the optimizer was built from named_parameters()
            names[:] = [known[id(p)] for p in params]
        group_of |= {id(p): group for p in parameters.values()}
    _begin_history_anew(optimizer)


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
    _begin_history_anew(optimizer)


def _begin_history_anew(optimizer: Optimizer) -> None:
    """LBFGS remembers all parameters as one vector, which has another length now."""
    if isinstance(optimizer, LBFGS):
        if optimizer.state:
            warnings.warn(torch_messages.HISTORY_LOST, UserWarning, stacklevel=4)
        optimizer.state.clear()
        optimizer._numel_cache = None


def refuse_partitioned(optimizer: Any) -> None:
    """Raise ValueError for an optimizer that has dealt its parameters out to processes.

    It would never update a parameter that comes later, and not say so.
    """
    distributed = sys.modules.get("torch.distributed.optim")  # not to be imported for this
    if isinstance(optimizer, getattr(distributed, "ZeroRedundancyOptimizer", ())):
        raise ValueError(torch_messages.partitioned_optimizer(type(optimizer).__name__))


def refuse_wrapper(optimizer: Any) -> None:
    """Raise ValueError where an optimizer's own step() is not what changes the parameters.

    It holds another optimizer (Accelerate, SAM, Lookahead), or it puts other values in their
    place between steps (schedulefree's ``train()`` and ``eval()``).
    """
    kind = type(optimizer).__name__
    if any(isinstance(each, Optimizer) for each in vars(optimizer).values()):
        raise ValueError(torch_messages.wrapping_optimizer(kind))
    if callable(getattr(optimizer, "eval", None)):
        raise ValueError(torch_messages.averaging_optimizer(kind))


_watched: list[tuple[weakref.ref[Tensor], list[weakref.ref[nn.Parameter]]]] = []


def warn_if_not_trained(converted: Iterable[New]) -> None:
    """Warn once, at the next optimizer step that updates these weights but not their D.

    An optimizer built before conversion would otherwise train without D in silence.
    """
    for weight, parameters, _ in converted:
        _watched.append((weakref.ref(weight), [weakref.ref(p) for p in parameters.values()]))
    if _watched:
        _watch_every_step()


class _Copy(NamedTuple):
    """The weights of a model, and those of its converted copy in the same order."""

    original: list[weakref.ref[Tensor]]
    converted: list[weakref.ref[Tensor]]


_copies: list[_Copy] = []


def warn_if_copy_not_trained(original: Iterable[Tensor], converted: Iterable[Tensor]) -> None:
    """Warn once, at a step of an optimizer that holds what was copied, while the copy is trained.

    That is: the copy's weights have gradients, those that the optimizer holds have none. Who trains
    both, or still trains the original, sees nothing.
    """
    copy = _Copy([*map(weakref.ref, original)], [*map(weakref.ref, converted)])
    if copy.converted:
        _copies.append(copy)
        _watch_every_step()


@cache  # once a process: torch cannot remove a hook while it runs the hooks (2.13)
def _watch_every_step() -> None:
    register_optimizer_step_pre_hook(_check)


def _check(optimizer: Optimizer, *_: Any) -> None:
    if not (_watched or _copies):
        return
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    forgotten: list[set[int]] = []
    unseen = []
    for entry in _watched:
        weight, parameters = entry[0](), [ref() for ref in entry[1]]
        if weight is None:
            continue
        if id(weight) not in trained:
            unseen.append(entry)
            continue
        without = {id(p) for p in parameters if p is not None and p.requires_grad} - trained
        if without:
            forgotten.append(without)
    _watched[:] = unseen
    if forgotten:  # unless another optimizer has them, as beside Muon, which takes weights alone
        held = _held_by_any_optimizer()
        forgotten = [each for each in forgotten if not each <= held]
    copies = _untrained_copies(trained)
    # The user's own line: behind this function comes torch's wrapper of step().
    if forgotten:
        warnings.warn(messages.model.offset_not_trained(len(forgotten)), UserWarning, stacklevel=3)
    if copies:
        warnings.warn(torch_messages.copy_not_trained(copies), UserWarning, stacklevel=3)


def _held_by_any_optimizer() -> set[int]:
    optimizers = (each for each in gc.get_objects() if issubclass(type(each), Optimizer))
    groups = (group for each in optimizers for group in each.param_groups)
    return {id(p) for group in groups for p in group["params"]}


def _untrained_copies(trained: set[int]) -> int:
    """How many layers of copies are trained in vain; those need no further look, nor do others."""
    count, unsettled = 0, []
    for each in _copies:
        originals = [p for ref in each.original if (p := ref()) is not None and id(p) in trained]
        copies = [p for ref in each.converted if (p := ref()) is not None]
        if not copies or any(id(p) in trained for p in copies):
            continue
        in_vain = any(p.grad is not None for p in copies)
        if originals and in_vain and all(p.grad is None for p in originals):
            count += len(copies)
        else:
            unsettled.append(each)
    _copies[:] = unsettled
    return count
