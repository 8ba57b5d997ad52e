"""Functions that a layer keeps: its activation, or what a user has put onto it."""

from __future__ import annotations

import types
from functools import partial
from typing import Any

FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, partial)


def are_alike(one: Any, other: Any, plain: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether two functions do the same, each for its own layer.

    Those do that have one code, as a constructor makes them anew, and bring the same along: plain
    values are compared, and of all that is no function only the class.
    """
    if one is other or id(one) in seen:  # a function may bring itself along
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, (*plain, types.BuiltinFunctionType)):
        return bool(one == other)
    if isinstance(one, types.FunctionType) and (
        one.__code__ != other.__code__ or one.__globals__ is not other.__globals__
    ):
        return False
    ours, theirs = _brought_along(one), _brought_along(other)
    return len(ours) == len(theirs) and all(
        are_alike(*pair, plain, seen | {id(one)}) for pair in zip(ours, theirs, strict=True)
    )


def brings(value: Any, kinds: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a function brings an object of certain classes along."""
    return isinstance(value, kinds) or any(
        brings(part, kinds, seen | {id(value)})
        for part in _brought_along(value)
        if id(part) not in seen
    )


def _brought_along(value: Any) -> list[Any]:
    """What a function has beside its code: the variables around it, its defaults, and the like."""
    if isinstance(value, types.FunctionType):
        cells = [cell for cell in value.__closure__ or () if cell != types.CellType()]
        defaults = *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()
        return [*(cell.cell_contents for cell in cells), *defaults]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []
