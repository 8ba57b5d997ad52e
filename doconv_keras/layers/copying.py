"""The user's own classes and functions, so that they need not be registered to be copied."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any


def custom_objects(
    values: Iterable[Any], registered_name: Callable[[Any], str], own: str
) -> dict[str, Any]:
    """By the names under which a framework looks for them.

    Args:
        values: the layers of a model, and what they hold.
        registered_name: the framework's, of a class or function.
        own: how the names of the framework's modules begin. It finds its own by these; by name
            `layers.Add` would be taken for the operation of a "+".
    """
    found: dict[str, set[Any]] = {}
    for value in values:
        if hasattr(type(value), "get_config"):
            value = type(value)
        elif not isinstance(value, types.FunctionType):
            continue
        if not value.__module__.startswith(own):
            found.setdefault(registered_name(value), set()).add(value)
    # Two of one name (lambdas) would be mistaken for each other: leave them to the host's error.
    return {name: objects.pop() for name, objects in found.items() if len(objects) == 1}
