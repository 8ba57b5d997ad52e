"""The signature of one of our layers: its host's, then ours."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

OURS = ("D_mul", "composition")


class HostSignature:
    """A class's ``__signature__``: the host's arguments, then by keyword those of our own.

    The layers share one constructor that passes on what it is given; this is what
    ``inspect.signature`` and ``help`` show. A descriptor, because a plain attribute would also
    be found on instances, which take inputs, and in subclasses with a constructor of their own.

    Args:
        host: the host's layer class.
        shared: the class with the shared constructor.
        names: our arguments.
    """

    def __init__(self, host: type, shared: type, names: Sequence[str] = OURS) -> None:
        signature = inspect.signature(host.__init__)  # type: ignore[misc]
        _, *theirs = signature.parameters.values()
        added = [inspect.signature(shared.__init__).parameters[name] for name in names]  # type: ignore[misc]
        rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]
        positional = [p for p in theirs if p.kind is not p.VAR_KEYWORD]
        self.signature = signature.replace(parameters=[*positional, *added, *rest])

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None or "__init__" in vars(owner):
            raise AttributeError("__signature__")
        return self.signature
