"""The layers of a model: which there are, under which names, and which share a weight."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from doconv_core.model.planning import Candidate
from doconv_torch import messages as torch_messages
from doconv_torch.layers.arrays import ArraysKey, OverParameterized
from doconv_torch.layers.families import family_of
from doconv_torch.layers.hosts import is_adapter
from doconv_torch.layers.parametrized import weight_parametrizations

Model = TypeVar("Model", bound=nn.Module)


def candidates(model: nn.Module, **options: Any) -> list[Candidate]:
    """Every layer that convert considers, once, with all its names."""
    found: dict[nn.Module, Candidate] = {}
    adapted = {
        each for module in model.modules() if is_adapter(module) for each in module.modules()
    }
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in found:
            family = family_of(module)
            if family is None:
                continue
            done = family.holds(module) and family.is_over_parameterized(module)
            reason = "" if done else family.why_plain(module, **options)
            if not reason and module in adapted and not done:
                reason = torch_messages.ADAPTED
            spec = family.spec_of(module)
            found[module] = Candidate([], module, reason, done, 0 if spec is None else spec.K)
        found[module].names.append(name)
    return list(found.values())


def copied(model: Model) -> Model:
    """A deep copy, with every training flag: torch's (2.13) sets those of a GraphModule."""
    other = copy.deepcopy(model)
    modules = dict(other.named_modules())
    for name, module in model.named_modules():
        if name in modules:
            modules[name].training = module.training
    return other


def layers(model: nn.Module) -> Iterator[OverParameterized]:
    """Every layer of ours, shared ones once, plain CondConv too: what a neutral state holds."""
    for name, module in model.named_modules():
        family = family_of(module)
        if family is not None and family.holds(module):
            spec = family.spec_of(module)
            assert spec is not None
            yield OverParameterized(name, module, spec, *family.arrays(module), family)


def over_parameterized(model: nn.Module) -> Iterator[OverParameterized]:
    """Those of them that have been converted: what fold changes."""
    for layer in layers(model):
        if layer.family.is_over_parameterized(layer.module):
            yield layer


def users_of_weights(
    model: nn.Module, found: list[OverParameterized]
) -> dict[int, set[ArraysKey | None]]:
    """Per weight's id, what its users take it for: the arrays of a layer, or itself (None)."""
    users: dict[int, set[ArraysKey | None]] = {id(layer.weight): set() for layer in found}
    holders: set[nn.Module] = set()
    for layer in found:
        users[id(layer.weight)].add(layer.key)
        holders.add(layer.module)
        if parametrize.is_parametrized(layer.module):
            holders.add(weight_parametrizations(layer.module))
    for module in set(model.modules()) - holders:
        for parameter in module._parameters.values():
            if id(parameter) in users:
                users[id(parameter)].add(None)
    return users
