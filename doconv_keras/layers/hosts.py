"""A framework's convolutions: which there are, and why one has to stay plain.

``hosts`` is the adapter's table of every convertible class, matched exactly, with what it becomes;
our layers enter themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from doconv_core import messages
from doconv_keras.layers.nesting import Layer, call_is_replaced

FLOATING = ("float16", "bfloat16", "float32", "float64")

Hosts = dict[type[Any], type[Any]]

OUR_ATTRIBUTES = ("D", "W_extra", "D_mul", "composition", "spec")

KERNELS = frozenset(("kernel", "_kernel", "depthwise_kernel"))
"""Where a layer keeps its kernel, which its class knows nothing of where it is no property."""

HARMLESS = frozenset(("__init__", "get_config", "from_config"))
"""What a subclass may have of its own and still compute what its base class does."""


def class_for(hosts: Hosts, layer: Any) -> type[Any] | None:
    """The class of ours that has a convolution's layout; of a subclass, that of its base."""
    return next((hosts[host] for host in type(layer).__mro__ if host in hosts), None)


def host_of(hosts: Hosts, kind: type[Any]) -> type[Any] | None:
    """The host that computes what layers of a class do: the class, or the one it only constructs.

    None for a class that may compute something else.
    """
    for base in kind.__mro__:
        if base in hosts:
            return base
        if base in hosts.values():
            return None  # a subclass of ours
        if not KERNELS.isdisjoint(vars(base)):
            return None  # it may compute its kernel from another one
        host = next((each for each in kind.__mro__ if each in hosts), None)
        for name, value in vars(base).items():
            if name in HARMLESS or (name.startswith("__") and not callable(value)):
                continue
            if name in OUR_ATTRIBUTES or hasattr(host, name):
                return None
    return None


def becomes(
    hosts: Hosts, register: Callable[[str, type[Any]], Any], kind: type[Any]
) -> type[Any] | None:
    """The class that layers of a class become; None where none computes the same.

    A subclass of a host that only constructs it otherwise becomes a class made here, a subclass of
    both; so fold gives it back.

    Args:
        hosts: the adapter's.
        register: makes a class known to the framework, as of a package, so that models with it can
            be copied and pickled.
        kind: a class of layers.
    """
    if kind in hosts or (host := host_of(hosts, kind)) is None:
        return hosts.get(kind)
    made = type(f"DO{kind.__name__}", (hosts[host], kind), {"host": kind, "__doc__": kind.__doc__})
    made.__module__ = kind.__module__
    register(f"{kind.__module__}.{kind.__qualname__}", made)  # two classes may have one name
    return made


def change_class(layer: Any, kind: Any) -> None:
    """Make a layer one of another class, whose ``call`` it then has."""
    if not call_is_replaced(layer):
        vars(layer).pop("call", None)
    layer.__class__ = kind


def why_plain(
    hosts: Hosts, layer: Layer, own_reason: Callable[[Layer], str] = lambda layer: ""
) -> str:
    """Why convert leaves a convolution as it is; "" where it need not, or has converted it.

    Args:
        hosts: the adapter's.
        layer: a convolution, or of a subclass of one.
        own_reason: one that only this framework has; "" where there is none.
    """
    own = "host" in vars(type(layer))  # a layer of ours, not a subclass of one
    if type(layer) in hosts.values():
        return ""
    if not own and host_of(hosts, type(layer)) is None:
        return messages.model.OWN_FORWARD
    if call_is_replaced(layer):
        return messages.model.INSTANCE_FORWARD
    if reason := own_reason(layer):
        return reason
    if layer.variable_dtype not in FLOATING:
        return messages.model.NOT_FLOATING
    if not own:
        if not vars(layer).keys().isdisjoint(OUR_ATTRIBUTES):
            return messages.model.NAME_TAKEN
        kernels = 2 if hasattr(layer, "pointwise_initializer") else 1
        if layer.built and len(layer.variables) != kernels + layer.use_bias:
            return messages.model.OTHER_ARRAYS
    return messages.model.POINTWISE if math.prod(layer.kernel_size) == 1 else ""
