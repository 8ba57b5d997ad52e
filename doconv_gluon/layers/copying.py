"""A deep copy of a Gluon model, which ``copy.deepcopy`` alone does not make.

On its own it copies the handle of a cached graph (both copies then free it), a parameter's arrays
without their gradients (the copy cannot be trained), and the Trainer behind every parameter.
"""

from __future__ import annotations

import copy
from typing import Any

from doconv_gluon.layers.sharing import note
from doconv_gluon.mxnet import mx


def copied(model: Any) -> Any:
    """A model that computes the same and shares no array with ``model``; no Trainer has it.

    Parameters keep their names, types, devices and multipliers, blocks their hooks and flags.
    A block with an attribute that cannot be deep-copied (a lock, a generator) raises what
    ``copy.deepcopy`` raises.
    """
    # With static shapes MXNet (1.9.1) lets nobody wait for a batch norm's averages: who reads them
    # after a step, as save_parameters() does too, may get those of before it.
    mx.nd.waitall()
    memo: dict[int, Any] = {}
    inside: set[int] = set()
    model.apply(lambda block: inside.update((id(block._scope), id(block.params))))

    def prepare(block: Any) -> None:
        for parameter in block.params.values():
            if id(parameter) not in memo:
                memo[id(parameter)] = _copy_parameter(parameter)
        # What a block was made within: a scope leads to the parent and all that it holds, and
        # shared parameters to another model. What the block uses of those is among its own.
        for outer in (block._scope._old_scope, block.params._shared):
            if id(outer) not in inside:
                memo[id(outer)] = None
        if getattr(block, "_cached_op", None) is not None:
            memo[id(block._cached_op)] = None  # built again by the copy's first call

    model.apply(prepare)
    new = copy.deepcopy(model, memo)
    new.apply(_settle)
    return new


def clear_cached_graphs(model: Any) -> None:
    """Forget every graph that was traced before the model changed."""
    model.apply(_clear_cached_op)


def _clear_cached_op(block: Any) -> None:
    if isinstance(block, mx.gluon.HybridBlock):
        block._clear_cached_op()


def _settle(block: Any) -> None:
    _clear_cached_op(block)
    _, in_graph = vars(block).get("_over_parameterized", (None, {}))
    for layer in (block, *in_graph.values()):
        if getattr(layer, "is_over_parameterized", False):
            note(layer)


def _copy_parameter(parameter: Any) -> Any:
    new = copy.copy(parameter)
    new._var = new._trainer = None
    if parameter._data is not None:
        with mx.autograd.pause():
            new._data = [array.copy() for array in parameter._data]
            new._init_grad()
    return new
