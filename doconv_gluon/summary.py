"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doconv_core import (
    CondConvSpec,
    LayerCost,
    Summary,
    SummaryRow,
    condconv_cost,
    layer_cost,
    messages,
)
from doconv_core.summary import row_costs
from doconv_gluon._compat import mx
from doconv_gluon.arrays import Spec, blocks_once, spec_of
from doconv_gluon.base import DOConvNd
from doconv_gluon.condconv_base import CondConvNd
from doconv_gluon.eligibility import (
    in_symbol_block,
    is_candidate,
    is_over_parameterized,
    why_plain,
)

Sizes = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Of one call of a layer: batch size, input size, output size."""


def summary(model: Any, inputs: Any | Sequence[Any] | None = None) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    Convolutions inside a SymbolBlock have a row too, with its name and the operator's. A CondConv
    layer's plain form is plain CondConv; its MACs are those of mixing kernels.

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
    rows = []
    for name, block in blocks_once(model).items():
        if is_candidate(block):
            rows.append(_row(name, block, calls.get(id(block), [])))
        for node, operator, K in in_symbol_block(block):
            path = f"{name}.{node}" if name else node
            rows.append(SummaryRow(path, operator, K, reason=messages.IN_SYMBOL_BLOCK))
    return Summary(rows)


def _row(name: str, conv: Any, calls: list[Sizes]) -> SummaryRow:
    trained = is_over_parameterized(conv)
    kind, reason = type(conv).__name__, "" if trained else why_plain(conv) or messages.CONVERTIBLE
    if isinstance(conv, CondConvNd):
        kind = "CondConv" if conv.D is None else "DO-CondConv"
    if not mx.gluon.utils.shape_is_known(conv.weight.shape):
        return SummaryRow(name, kind, reason=reason)
    spec = conv.spec if isinstance(conv, (DOConvNd, CondConvNd)) else spec_of(conv)
    one = (1,) * len(spec.kernel_size)
    row = row_costs(_cost(conv, spec, 1, one, one), over_parameterized=trained)
    row["macs"] = row_costs(
        _total([_cost(conv, spec, *sizes) for sizes in calls]),
        over_parameterized=trained,
        composition=getattr(conv, "composition", "kernel"),
    )["macs"]
    return SummaryRow(name, kind, spec.K, spec.S if trained else None, **row, reason=reason)


def _cost(
    conv: Any, spec: Spec, batch: int, input_size: tuple[int, ...], output_size: tuple[int, ...]
) -> LayerCost:
    bias = conv.bias is not None
    if isinstance(spec, CondConvSpec):
        own = conv.routing is not None
        return condconv_cost(spec, output_size, batch_size=batch, bias=bias, routing=own).layer
    return layer_cost(spec, output_size, input_size=input_size, batch_size=batch, bias=bias)


def _total(costs: list[LayerCost]) -> LayerCost | None:
    total = None
    for cost in costs:
        total = cost if total is None else total + cost
    return total


def _sizes_of_calls(model: Any, inputs: Any) -> dict[int, list[Sizes]]:
    calls: dict[int, list[Sizes]] = {}
    blocks = list(blocks_once(model).values())
    convolutions = [block for block in blocks if is_candidate(block)]

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
