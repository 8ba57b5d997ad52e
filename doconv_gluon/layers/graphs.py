"""The convolutions in the graph of a SymbolBlock, one at a time.

GluonCV's SSD and feature pyramids keep their backbones as graphs, and so does every network that
was exported. Such a convolution is no block; but its weight is a variable of the graph, and the
graph can be written anew with the composition in its place. If the number of input channels is not
known then, what tells it to D stays in the graph, and writes an array of D's size at each call.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from doconv_core import DOConvSpec, messages
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.arrays import form_of, has_sizes, own_symbols, spec_of
from doconv_gluon.layers.sharing import note
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.composition import compose
from doconv_gluon.tensors.forms import Form
from doconv_gluon.tensors.kinds import as_classic, as_host

_CONVOLUTIONS = {"Convolution": 1, "Deconvolution": 1}  # the input that is the weight


class Node(NamedTuple):
    """A convolution that no layer can stand for.

    Attributes:
        kind: its operator, or its class.
        K: elements of its kernel.
    """

    kind: str
    K: int


class GraphConvolution:
    """A convolution of a SymbolBlock, with the attributes of Gluon's own that others read.

    Nodes that share a weight are one. It changes the block's graph and parameters, and nothing
    else of it; the block keeps its class.
    """

    act = None
    composition = "kernel"

    def __init__(self, block: Any, node: dict[str, Any], weight: Any, bias: Any) -> None:
        given = {name: ast.literal_eval(value) for name, value in _tuples(node).items()}
        kernel = given["kernel"]
        layout = node["attrs"].get("layout", "None")
        self.block, self.weight, self.bias = block, weight, bias
        self._op_name = node["op"]
        self._kwargs = {
            "kernel": kernel,
            "stride": given.get("stride", (1,) * len(kernel)),
            "dilate": given.get("dilate", (1,) * len(kernel)),
            "pad": given.get("pad", (0,) * len(kernel)),
            "num_filter": given["num_filter"],
            "num_group": given.get("num_group", 1),
            "layout": ("NCW", "NCHW", "NCDHW")[len(kernel) - 1] if layout == "None" else layout,
        }
        self.D = self.W_extra = self.D_mul = self._symbol = None
        if weight.shape is None and weight._data is not None:
            weight.shape = weight.list_data()[0].shape  # loaded, or inferred by a batch
        if weight.shape is None:
            after = (*kernel, 0) if form_of(self, 0).channels_last else (0, *kernel)
            weight.shape = (self._kwargs["num_filter"], *after)

    @property
    def _reg_params(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("weight", "bias", "D", "W_extra")}
        return {name: parameter for name, parameter in own.items() if parameter is not None}

    @property
    def params(self) -> Any:
        """What new parameters are called after."""
        return SimpleNamespace(prefix=_before_weight(self.weight.name))

    @property
    def is_over_parameterized(self) -> bool:
        """Whether it has been converted."""
        return self.D is not None

    @property
    def form(self) -> Form:
        """The sizes that are known before the first input."""
        return form_of(self, self.D_mul or 0)

    @property
    def spec(self) -> DOConvSpec:
        """Its sizes.

        Raises:
            ValueError: the number of input channels is not known before the first input.
        """
        return spec_of(self, self.D_mul)

    def why_plain(self) -> str:
        """Why it cannot be over-parameterized; "" where it can."""
        if f"{self.params.prefix}D" in self.block.params:
            return messages.model.NAME_TAKEN
        if np.dtype(self.weight.dtype).kind != "f":
            return messages.model.NOT_FLOATING
        return messages.model.POINTWISE if self.form.K == 1 else ""

    def over_parameterize_(self, D_mul: int, parameters: dict[str, Any]) -> None:
        """Put the composition where the graph has the weight."""
        self.D_mul = D_mul
        self.D, self.W_extra = parameters.get("D"), parameters.get("W_extra")
        before = self._saved_name().removesuffix("weight")
        for name, parameter in parameters.items():
            self.block.params.update({parameter.name: parameter})
            self.block._reg_params[before + name] = parameter
        weight, _, D, W_extra = map(as_classic, own_symbols(self))
        infer = not has_sizes(self)
        self._symbol = as_host(self._compose(mx.sym, weight, D, W_extra, infer=infer))
        note(self)
        _rebuild(self.block, {**_converted(self.block), self.weight.name: self})

    def restore_(self) -> None:
        """Take it out again; the graph without any is the one that there was."""
        for name in ("D", "W_extra"):
            parameter = getattr(self, name)
            if parameter is not None:
                del self.block.params._params[parameter.name]
                del self.block._reg_params[self._saved_name().removesuffix("weight") + name]
        self.D = self.W_extra = self.D_mul = self._symbol = None
        others = _converted(self.block).items()
        _rebuild(self.block, {name: layer for name, layer in others if layer is not self})

    def composed_kernel(self) -> Any:
        """The kernel that the graph convolves with, an NDArray in the shape of ``weight``."""
        if self.D is None:
            return self.weight.data()
        arrays = [None if p is None else p.data() for p in (self.weight, self.D, self.W_extra)]
        return as_host(self._compose(mx.nd, *map(as_classic, arrays)))

    def _compose(self, F: Any, weight: Any, D: Any, W_extra: Any, *, infer: bool = False) -> Any:
        return compose(F, self.form, weight, D, W_extra, infer=infer, dtype=self.weight.dtype)

    def _saved_name(self) -> str:
        own = self.block._reg_params.items()
        return next(name for name, parameter in own if parameter is self.weight)

    def __repr__(self) -> str:
        given = self._kwargs
        shown = f"{self._op_name}(-> {given['num_filter']}, kernel_size={given['kernel']}"
        return shown + (")" if self.D_mul is None else f", D_mul={self.D_mul})")


def convolutions_of(block: Any) -> Iterator[tuple[str, GraphConvolution | Node, str]]:
    """The convolutions of a SymbolBlock's plain graph: name of the node, what it is, and why it
    cannot be changed ("" for what says so itself).
    """
    if not isinstance(block, mx.gluon.SymbolBlock):
        return
    nodes = json.loads(_plain_graph(block).tojson())["nodes"]
    made = dict(_converted(block))
    of_weights = {
        node["inputs"][position][0]
        for node in nodes
        if (position := _CONVOLUTIONS.get(node["op"])) is not None
    }
    otherwise = {  # those that are read as something else than a convolution's weight, too
        index
        for node in nodes
        for position, (index, *_) in enumerate(node["inputs"])
        if index in of_weights and _CONVOLUTIONS.get(node["op"]) != position
    }
    for node in nodes:
        if node["op"] not in _CONVOLUTIONS:
            continue
        own = [nodes[index] for index, *_ in node["inputs"][1:]]
        parameters = [block.params._params.get(each["name"]) for each in own]
        simple = node["op"] == "Convolution" and all(each is not None for each in parameters)
        if not simple or node["inputs"][1][0] in otherwise:
            K = int(np.prod(ast.literal_eval(node["attrs"]["kernel"])))
            yield node["name"], Node(node["op"], K), gluon_messages.IN_SYMBOL_BLOCK
            continue
        weight, *bias = parameters
        if weight.name not in made:
            made[weight.name] = GraphConvolution(block, node, weight, bias[0] if bias else None)
        yield node["name"], made[weight.name], ""


def _rebuild(block: Any, converted: dict[str, GraphConvolution]) -> None:
    """Let a block have the graph in which these are over-parameterized."""
    inputs, _ = block._cached_graph
    plain = graph = _plain_graph(block)
    vars(block).pop("_over_parameterized", None)
    if converted:
        graph = copy.copy(plain)
        graph._compose(**{name: layer._symbol for name, layer in converted.items()})
        block._over_parameterized = plain, converted
    block._cached_graph = inputs, graph
    block._clear_cached_op()


def _plain_graph(block: Any) -> Any:
    return vars(block).get("_over_parameterized", block._cached_graph[1:])[0]


def _converted(block: Any) -> dict[str, GraphConvolution]:
    """Those that have a D, by their weights' names."""
    return vars(block).get("_over_parameterized", (None, {}))[1]


def _tuples(node: dict[str, Any]) -> dict[str, str]:
    names = ("kernel", "stride", "dilate", "pad", "num_filter", "num_group")
    return {name: node["attrs"][name] for name in names if name in node["attrs"]}


def _before_weight(name: str) -> str:
    return name.removesuffix("weight") if name.endswith("weight") else f"{name}_"
