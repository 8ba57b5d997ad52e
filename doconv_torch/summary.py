"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from doconv_core import (
    CondConvSpec,
    DOConvSpec,
    LayerCost,
    Summary,
    SummaryRow,
    condconv_cost,
    layer_cost,
    messages,
)
from doconv_core.summary import row_costs
from doconv_torch.arrays import over_parameterized, plain_spec
from doconv_torch.condconv_base import CondConvNd
from doconv_torch.eligibility import has_lazy_weight, is_candidate, why_plain

Sizes = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Of one call of a layer: batch size, input size, output size."""


def summary(model: nn.Module, inputs: Tensor | Sequence[Any] | None = None) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    A CondConv layer's plain form is plain CondConv; its MACs are those of mixing kernels.

    Args:
        model: any module, converted or not. It is not changed.
        inputs: one batch as the model takes it, a tensor or a sequence of positional arguments.
            It is run once, in evaluation mode, to fill the multiply-accumulate columns; they
            count this batch. A layer called several times counts each time.

    Returns:
        The rows; printing them gives a table.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1))
        >>> [row.reason for row in summary(model)]
        ['not converted', 'one kernel element has nothing to over-parameterize']
    """
    layers = {layer.module: layer for layer in over_parameterized(model)}
    calls = {} if inputs is None else _sizes_of_calls(model, inputs)
    rows = []
    for name, module in model.named_modules():
        if not is_candidate(module):
            continue
        kind, layer = type(module).__name__, layers.get(module)
        reason = "" if layer else why_plain(module) or messages.CONVERTIBLE
        spec: DOConvSpec | CondConvSpec
        if isinstance(module, CondConvNd):
            spec = module.spec
            kind = spec.kind
        elif isinstance(module, _ConvNd) and not has_lazy_weight(module):
            spec = layer.spec if layer else plain_spec(module, None)
        else:
            rows.append(SummaryRow(name, kind, reason=reason))
            continue
        costs = [_cost(module, spec, *sizes) for sizes in calls.get(module, [])]
        one = (1,) * len(spec.kernel_size)
        parameters = _cost(module, spec, 1, one, one)
        composition = getattr(module, "composition", "kernel")
        row = row_costs(parameters, over_parameterized=bool(layer))
        row["macs"] = row_costs(
            _total(costs), over_parameterized=bool(layer), composition=composition
        )["macs"]
        rows.append(SummaryRow(name, kind, spec.K, spec.S if layer else None, **row, reason=reason))
    return Summary(rows)


def _cost(
    module: _ConvNd | CondConvNd,
    spec: DOConvSpec | CondConvSpec,
    batch: int,
    input_size: tuple[int, ...],
    output_size: tuple[int, ...],
) -> LayerCost:
    bias = module.bias is not None
    if isinstance(spec, DOConvSpec):
        return layer_cost(spec, output_size, input_size=input_size, batch_size=batch, bias=bias)
    routing = isinstance(module, CondConvNd) and module.routing is not None
    return condconv_cost(spec, output_size, batch_size=batch, bias=bias, routing=routing).layer


def _total(costs: list[LayerCost]) -> LayerCost | None:
    if not costs:
        return None
    total = costs[0]
    for cost in costs[1:]:
        total = total + cost
    return total


def _sizes_of_calls(
    model: nn.Module, inputs: Tensor | Sequence[Any]
) -> dict[nn.Module, list[Sizes]]:
    calls: dict[nn.Module, list[Sizes]] = {}

    def note(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> None:
        ndim = len(module.kernel_size)  # type: ignore[arg-type]
        given = args[0] if args else kwargs["input"]
        batch = given.shape[0] if given.ndim == ndim + 2 else 1
        sizes = (batch, tuple(given.shape[-ndim:]), tuple(output.shape[-ndim:]))
        calls.setdefault(module, []).append(sizes)

    convolutions = [m for m in model.modules() if isinstance(m, (_ConvNd, CondConvNd))]
    handles = [module.register_forward_hook(note, with_kwargs=True) for module in convolutions]
    training = {module: module.training for module in model.modules()}
    # Named, because torch warns where it would take all of several devices by default.
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            model(*((inputs,) if isinstance(inputs, Tensor) else inputs))
    finally:
        for handle in handles:
            handle.remove()
        for module, flag in training.items():
            module.training = flag
    return calls
