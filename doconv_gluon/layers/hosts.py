"""Gluon's own convolutions: which there are, their sizes, and why one has to stay plain."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from doconv_core import messages
from doconv_core.kernel.spec import positive_integer
from doconv_gluon.mxnet import mx

HOSTS: dict[type, type[Any]] = {}
"""Every convertible class, with what it becomes; our layers enter themselves."""

_CONVOLUTION = mx.gluon.nn.Conv2D.__base__  # Gluon gives its common base class no public name
_COMPUTATION = (
    *("forward", "hybrid_forward", "__call__", "__getattribute__", "__getattr__", "__setattr__"),
    *("_get_graph", "_build_cache", "_call_cached_op", "_deferred_infer_shape", "infer_shape"),
)
"""What a subclass must leave as it is in order to compute what its base class does."""

OUR_ATTRIBUTES = {"D", "W_extra", "D_mul", "composition"}


def is_convolution(block: Any) -> bool:
    """Whether a block is one of Gluon's convolutions, a subclass of one, or a DO-Conv layer."""
    return isinstance(block, _CONVOLUTION)


def host_of(kind: type) -> type | None:
    """The convertible class whose forward a class has unchanged: it, or what it is derived from."""
    host = next((each for each in kind.__mro__ if each in HOSTS), None)
    same = all(getattr(kind, name, None) is getattr(host, name, None) for name in _COMPUTATION)
    return host if same else None


def why_plain(conv: Any) -> str:
    """Why convert leaves a layer as it is; "" where it can be over-parameterized.

    Args:
        conv: a convolution.
    """
    operator = conv._op_name.lower()
    if host_of(type(conv)) is None or operator not in ("convolution", "deconvolution"):
        return messages.model.OWN_FORWARD
    if {"forward", "hybrid_forward"} & vars(conv).keys():
        return messages.model.INSTANCE_FORWARD
    if not conv._reg_params.keys() <= {"weight", "bias"} or not conv._children.keys() <= {"act"}:
        return messages.model.OTHER_ARRAYS
    if OUR_ATTRIBUTES & vars(conv).keys():
        return messages.model.NAME_TAKEN
    if np.dtype(conv.weight.dtype).kind != "f":
        return messages.model.NOT_FLOATING
    return messages.model.POINTWISE if math.prod(conv._kwargs["kernel"]) == 1 else ""


def given_sizes(
    host: type, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, Any, tuple[Any, ...], int]:
    """I, O, the kernel size and g that a layer is given; I is 0 where it waits for the input.

    For checks before the host's constructor: it lets zeros through, of which MXNet complains at the
    first call; groups=0 ends the process.

    Raises:
        ValueError: groups, strides or dilation is not positive.
        TypeError: one of them is not an integer.
    """
    signature = inspect.signature(host)
    given = signature.bind(*args, **kwargs)
    given.apply_defaults()
    arguments, ndim = given.arguments, len(signature.parameters["layout"].default) - 2
    kernel_size = arguments["kernel_size"]
    kernel_size = tuple(kernel_size) if np.iterable(kernel_size) else (kernel_size,) * ndim
    groups = positive_integer("groups", arguments["groups"])
    for name in ("strides", "dilation"):
        for each in np.ravel(arguments[name]).tolist():
            positive_integer(name, each)
    return arguments["in_channels"], arguments["channels"], kernel_size, groups
