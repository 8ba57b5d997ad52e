"""The layers of a model: which there are, under which names, and which share a weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from doconv_core.model.planning import Candidate
from doconv_torch.layers.arrays import ArraysKey, OverParameterized
from doconv_torch.layers.families import family_of
from doconv_torch.layers.parametrized import weight_parametrizations


def candidates(model: nn.Module, **options: Any) -> list[Candidate]:
    """Every layer that convert considers, once, with all its names."""
    found: dict[nn.Module, Candidate] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if module not in found:
            family = family_of(module)
            if family is None:
                continue
            done = family.holds(module) and family.is_over_parameterized(module)
            reason = "" if done else family.why_plain(module, **options)
            found[module] = Candidate([], module, reason, done)
        found[module].names.append(name)
    return list(found.values())


def over_parameterized(model: nn.Module) -> Iterator[OverParameterized]:
    """Every over-parameterized layer of a model, shared ones once."""
    for layer in with_state(model):
        if layer.family.is_over_parameterized(layer.module):
            yield layer


def with_state(model: nn.Module) -> Iterator[OverParameterized]:
    """The same, and plain CondConv layers: what a neutral state holds."""
    for name, module in model.named_modules():
        family = family_of(module)
        if family is not None and family.holds(module):
            yield OverParameterized(name, module, *family.arrays(module), family)


def users_of_weights(
    model: nn.Module, layers: list[OverParameterized]
) -> dict[int, set[ArraysKey | None]]:
    """Per weight's id, what its users take it for: the arrays of a layer, or itself (None)."""
    users: dict[int, set[ArraysKey | None]] = {id(layer.weight): set() for layer in layers}
    holders: set[nn.Module] = set()
    for layer in layers:
        users[id(layer.weight)].add(layer.key)
        holders.add(layer.module)
        if parametrize.is_parametrized(layer.module):
            holders.add(weight_parametrizations(layer.module))
    for module in set(model.modules()) - holders:
        for parameter in module._parameters.values():
            if id(parameter) in users:
                users[id(parameter)].add(None)
    return users
