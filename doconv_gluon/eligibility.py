"""Which blocks can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from doconv_core import messages
from doconv_gluon._compat import mx
from doconv_gluon.arrays import has_values
from doconv_gluon.base import DOConvNd
from doconv_gluon.condconv import CONDCONV_LAYERS
from doconv_gluon.condconv_base import CondConvNd
from doconv_gluon.layers import LAYERS

HOSTS: dict[type, type[DOConvNd]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""

_CONVOLUTION = mx.gluon.nn.Conv2D.__base__  # Gluon gives its common base class no public name
_OURS = {"D", "W_extra", "D_mul", "composition"}


def is_convolution(block: Any) -> bool:
    """Whether a block is one of Gluon's convolutions, a subclass of one, or a DO-Conv layer."""
    return isinstance(block, _CONVOLUTION)


def is_candidate(block: Any) -> bool:
    """Whether convert considers a block: a convolution, or a CondConv layer."""
    return is_convolution(block) or isinstance(block, CondConvNd)


def is_over_parameterized(block: Any) -> bool:
    """Whether a block is a DO-Conv layer, or a CondConv layer whose experts have D's."""
    return isinstance(block, DOConvNd) or (isinstance(block, CondConvNd) and block.D is not None)


def why_plain(conv: Any) -> str:
    """Why convert leaves a layer as it is; "" where it can be over-parameterized.

    Args:
        conv: a convolution, or a CondConv layer.
    """
    if isinstance(conv, CondConvNd):
        return _why_experts_plain(conv)
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


def _why_experts_plain(layer: CondConvNd) -> str:
    if type(layer) not in CONDCONV_LAYERS:
        return messages.OWN_FORWARD
    if {"forward", "hybrid_forward"} & vars(layer).keys():
        return messages.INSTANCE_FORWARD
    if not layer._reg_params.keys() <= {"weight", "bias"}:
        return messages.OTHER_ARRAYS
    if np.dtype(layer.weight.dtype).kind != "f":
        return messages.NOT_FLOATING
    return messages.POINTWISE if layer.form.K == 1 else ""


def why_not_foldable(layer: Any) -> str:
    """Why the plain form of an over-parameterized layer cannot be computed; "" where it can."""
    if type(layer) not in (*LAYERS, *CONDCONV_LAYERS):
        return messages.OWN_FORWARD
    return "" if has_values(layer) else messages.NO_VALUES_YET


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
