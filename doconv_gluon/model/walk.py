"""The layers of a model: which there are, under which names, and which share a weight."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from doconv_core.model.planning import Candidate
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.families import family_of
from doconv_gluon.mxnet import mx


class Node(NamedTuple):
    """A convolution of a SymbolBlock, whose graph is fixed."""

    operator: str
    K: int


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
    """Every layer that convert considers, once, with all its names; and every :class:`Node`."""
    found: dict[Any, Candidate] = {}
    for path, block in named_blocks(model):
        for name, node in _nodes(block, path):
            new = Candidate([], node, gluon_messages.IN_SYMBOL_BLOCK, K=node.K)
            found.setdefault((block, name), new).names.append(name)
        family = family_of(block)
        if family is None:
            continue
        if block not in found:
            done = family.is_over_parameterized(block)
            reason = "" if done else family.why_plain(block)
            K = math.prod(block._kwargs["kernel"])
            found[block] = Candidate([], block, reason, done, K)
        found[block].names.append(path)
    return list(found.values())


def layers(model: Any) -> dict[str, Any]:
    """Every layer of ours, over-parameterized or not: what a neutral state holds."""
    return {
        name: block
        for name, block in blocks_once(model).items()
        if (family := family_of(block)) and family.holds(block)
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
    together = {id(layer) for layer in chosen}
    elsewhere: set[int] = set()

    def note(block: Any) -> None:
        if id(block) not in together:
            elsewhere.update(id(parameter) for parameter in block._reg_params.values())

    model.apply(note)
    return {id(layer) for layer in chosen if id(layer.weight) in elsewhere}


def _nodes(block: Any, path: str) -> Iterator[tuple[str, Node]]:
    if not isinstance(block, mx.gluon.SymbolBlock):
        return
    _, graph = block._cached_graph
    for node in json.loads(graph.tojson())["nodes"]:
        if node["op"] in ("Convolution", "Deconvolution"):
            kernel = json.loads(node["attrs"]["kernel"].replace("(", "[").replace(")", "]"))
            name = f"{path}.{node['name']}" if path else node["name"]
            yield name, Node(node["op"], math.prod(kernel))
