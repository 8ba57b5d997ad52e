"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from doconv_core import Summary, SummaryRow, messages
from doconv_core.model.planning import Candidate
from doconv_core.model.rows import Sizes, layer_row
from doconv_gluon.layers.families import family_of
from doconv_gluon.model.walk import blocks_once, candidates
from doconv_gluon.mxnet import mx


def summary(model: Any, inputs: Any | Sequence[Any] | None = None) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    Convolutions inside a SymbolBlock have a row too, with its name and the node's, but no MACs. A
    CondConv layer's plain form is plain CondConv; its MACs are those of mixing kernels.

    Args:
        model: any Block, converted or not. It is not changed, except that a model which waits for
            its first input takes ``inputs`` for that.
        inputs: one batch as the model takes it, an NDArray or a sequence of positional arguments.
            It is run once, in prediction mode and not hybridized, to fill the
            multiply-accumulate columns; they count this batch. A layer called several times
            counts each time.

    Returns:
        The rows; printing them gives a table.

    Example:
        >>> from mxnet.gluon import nn
        >>> net = nn.HybridSequential()
        >>> net.add(nn.Conv2D(8, 3, in_channels=3), nn.Conv2D(8, 1, in_channels=8))
        >>> [row.reason for row in summary(net)]
        ['not converted', 'one kernel element has nothing to over-parameterize']
    """
    calls = {} if inputs is None else _sizes_of_calls(model, inputs)
    return Summary(_row(each, calls.get(id(each.layer), [])) for each in candidates(model))


def _row(candidate: Candidate, calls: list[Sizes]) -> SummaryRow:
    (name, *_), layer, reason, converted, K = candidate
    family = family_of(layer)
    if family is None:
        return SummaryRow(name, layer.kind, K, reason=reason)
    reason = "" if converted else reason or messages.model.CONVERTIBLE
    if (spec := family.spec_of(layer)) is None:
        return SummaryRow(name, family.kind(layer), K, reason=reason)
    return layer_row(
        name,
        family.kind(layer),
        spec,
        reason=reason,
        bias=layer.bias is not None,
        routing=(routing := getattr(layer, "routing", None)) is not None,
        routing_bias=getattr(routing, "bias", None) is not None,
        composition=getattr(layer, "composition", "kernel"),
        calls=calls,
        itemsize=np.dtype(layer.weight.dtype).itemsize,
    )


def _sizes_of_calls(model: Any, inputs: Any) -> dict[int, list[Sizes]]:
    calls: dict[int, list[Sizes]] = {}
    blocks = list(blocks_once(model).values())
    convolutions = [block for block in blocks if family_of(block)]

    def note(block: Any, given: tuple[Any, ...], output: Any) -> None:
        first = 1 if block._kwargs["layout"].endswith("C") else 2
        spatial = slice(first, first + len(block._kwargs["kernel"]))
        sizes = (output.shape[0], given[0].shape[spatial], output.shape[spatial])
        calls.setdefault(id(block), []).append(sizes)

    # A hybridized model calls its graph, not its layers' hooks.
    active = {id(block): block._active for block in blocks if hasattr(block, "_active")}
    handles = [conv.register_forward_hook(note) for conv in convolutions]
    try:
        for block in blocks:
            if id(block) in active:
                block._active = False
        with mx.autograd.pause(train_mode=False):
            model(*((inputs,) if isinstance(inputs, mx.nd.NDArray) else inputs))
    finally:
        for handle in handles:
            handle.detach()
        for block in blocks:
            if id(block) in active:
                block._active = active[id(block)]
    return calls
