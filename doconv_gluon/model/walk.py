"""The layers of a model: which there are, under which names, and which share a weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from doconv_core.model.planning import Candidate
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.families import family_of
from doconv_gluon.layers.graphs import Node, convolutions_of
from doconv_gluon.mxnet import mx

_DEFORMABLE = (
    mx.gluon.contrib.cnn.DeformableConvolution,
    mx.gluon.contrib.cnn.ModulatedDeformableConvolution,
)


def named_blocks(model: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every block by every path to it, as ``save_parameters`` names them."""
    yield name, model
    for key, child in model._children.items():
        yield from named_blocks(child, f"{name}.{key}" if name else key)


def blocks_once(model: Any) -> dict[str, Any]:
    """Every block by the first path to it."""
    names: dict[Any, str] = {}
    for name, block in named_blocks(model):
        names.setdefault(block, name)
    return {name: block for block, name in names.items()}


def candidates(model: Any) -> list[Candidate]:
    """Every layer that convert considers, once, with all its names.

    Also every convolution that no layer can stand for, a :class:`Node`.
    """
    found: dict[Any, Candidate] = {}
    for path, block in named_blocks(model):
        for name, layer, reason in _of_block(block):
            key = (block, name) if isinstance(layer, Node) else id(layer)
            if key not in found:
                found[key] = _candidate(layer, reason)
            found[key].names.append(".".join(filter(None, (path, name))))
    return list(found.values())


def layers(model: Any) -> dict[str, Any]:
    """Every layer of ours, over-parameterized or not: what a neutral state holds."""
    return {
        names[0]: layer
        for names, layer, *_ in candidates(model)
        if (family := family_of(layer)) and family.holds(layer)
    }


def over_parameterized(model: Any) -> dict[str, Any]:
    """Every over-parameterized layer."""
    return {
        name: layer
        for name, layer in layers(model).items()
        if (family := family_of(layer)) and family.is_over_parameterized(layer)
    }


def with_shared_weight(model: Any, chosen: Iterable[Any]) -> set[int]:
    """The ids of those layers whose weight some other block of the model has as well.

    Two blocks share a parameter by its name, so after fold it can have one value only.
    """
    chosen = list(chosen)
    together = {id(layer) for layer in chosen}
    in_graphs = {(id(layer.block), id(layer.weight)) for layer in chosen if hasattr(layer, "block")}
    elsewhere = {
        id(parameter)
        for block in blocks_once(model).values()
        for parameter in block._reg_params.values()
        if id(block) not in together and (id(block), id(parameter)) not in in_graphs
    }
    return {id(layer) for layer in chosen if id(layer.weight) in elsewhere}


def D_in_graphs(model: Any) -> list[str]:
    """The names of D's in SymbolBlocks, as of a network exported before it was folded."""
    return [
        f"{path}.{name}" if path else name
        for path, block in blocks_once(model).items()
        if isinstance(block, mx.gluon.SymbolBlock)
        for name in block._reg_params
        if name.endswith("D") and f"{name[:-1]}weight" in block._reg_params
    ]


def _of_block(block: Any) -> Iterator[tuple[str, Any, str]]:
    """The convolutions that a block is or has besides its children: name in it, layer, reason."""
    if family_of(block):
        yield "", block, ""
    yield from convolutions_of(block)
    if isinstance(block, _DEFORMABLE):
        K = math.prod(block._kwargs_deformable_conv["kernel"])
        yield "", Node(type(block).__name__, K), gluon_messages.DEFORMABLE


def _candidate(layer: Any, reason: str) -> Candidate:
    family = family_of(layer)
    if family is None:
        return Candidate([], layer, reason, K=layer.K)
    K, done = math.prod(layer._kwargs["kernel"]), family.is_over_parameterized(layer)
    return Candidate([], layer, "" if done else family.why_plain(layer), done, K)
