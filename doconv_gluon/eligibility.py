"""Which blocks can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from doconv_core import messages
from doconv_gluon._compat import mx
from doconv_gluon.base import DOConvNd
from doconv_gluon.layers import LAYERS

HOSTS: dict[type, type[DOConvNd]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""

_CONVOLUTION = mx.gluon.nn.Conv2D.__base__  # Gluon gives its common base class no public name
_OURS = {"D", "W_extra", "D_mul", "composition"}


def is_convolution(block: Any) -> bool:
    """Whether a block is one of Gluon's convolutions, a subclass of one, or a DO-Conv layer."""
    return isinstance(block, _CONVOLUTION)


def why_plain(conv: Any) -> str:
    """Why convert leaves a convolution as it is; "" where it can be over-parameterized."""
    operator = conv._op_name.lower()
    if type(conv) not in HOSTS or operator not in ("convolution", "deconvolution"):
        return messages.OWN_FORWARD
    if {"forward", "hybrid_forward"} & vars(conv).keys():
        return messages.INSTANCE_FORWARD
    if not conv._reg_params.keys() <= {"weight", "bias"} or not conv._children.keys() <= {"act"}:
        return messages.OTHER_ARRAYS
    if _OURS & vars(conv).keys():
        return messages.NAME_TAKEN
    if np.dtype(conv.weight.dtype).kind != "f":
        return messages.NOT_FLOATING
    return messages.POINTWISE if math.prod(conv._kwargs["kernel"]) == 1 else ""


def with_shared_weight(model: Any, chosen: Iterable[Any]) -> set[int]:
    """The ids of those convolutions whose weight some other block of the model has as well.

    Two blocks share a parameter by its name, so after fold it can have one value only.
    """
    together = {id(conv) for conv in chosen}
    elsewhere: set[int] = set()

    def note(block: Any) -> None:
        if id(block) not in together:
            elsewhere.update(id(parameter) for parameter in block._reg_params.values())

    model.apply(note)
    return {id(conv) for conv in chosen if id(conv.weight) in elsewhere}


def in_symbol_block(block: Any) -> Iterator[tuple[str, str, int]]:
    """Name, operator and K of each convolution in a SymbolBlock, whose graph is fixed."""
    if not isinstance(block, mx.gluon.SymbolBlock):
        return
    _, graph = block._cached_graph
    for node in json.loads(graph.tojson())["nodes"]:
        if node["op"] in ("Convolution", "Deconvolution"):
            kernel = json.loads(node["attrs"]["kernel"].replace("(", "[").replace(")", "]"))
            yield node["name"], node["op"], math.prod(kernel)
