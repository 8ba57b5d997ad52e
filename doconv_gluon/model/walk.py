"""Which blocks can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from doconv_gluon.layers.condconv import CondConvNd
from doconv_gluon.layers.do_conv import DOConvNd
from doconv_gluon.layers.hosts import is_convolution
from doconv_gluon.layers.hosts import why_plain as why_conv_plain
from doconv_gluon.mxnet import mx


def is_candidate(block: Any) -> bool:
    """Whether convert considers a block: a convolution, or a CondConv layer."""
    return is_convolution(block) or isinstance(block, CondConvNd)


def is_over_parameterized(block: Any) -> bool:
    """Whether a block is a DO-Conv layer, or a CondConv layer whose experts have D's."""
    return isinstance(block, DOConvNd) or (isinstance(block, CondConvNd) and block.D is not None)


def why_plain(layer: Any) -> str:
    """Why convert leaves a layer as it is; "" where it can be over-parameterized."""
    return layer.why_plain() if isinstance(layer, CondConvNd) else why_conv_plain(layer)


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
