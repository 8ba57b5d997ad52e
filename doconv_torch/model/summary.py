"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from doconv_core import Summary, SummaryRow, messages
from doconv_core.model.family import Spec
from doconv_core.model.planning import Candidate
from doconv_core.model.rows import Sizes, layer_row
from doconv_torch.layers.families import family_of
from doconv_torch.model.walk import candidates


def summary(
    model: nn.Module, inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None
) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    A CondConv layer's plain form is plain CondConv; its MACs are those of mixing kernels.

    Args:
        model: any module, converted or not. It is not changed.
        inputs: one batch as the model takes it: a tensor, a sequence of positional arguments, or a
            mapping of keyword arguments. It is run once, in evaluation mode, to fill the
            multiply-accumulate columns; they count this batch. A layer called several times
            counts each time.

    Returns:
        The rows; printing them gives a table.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1))
        >>> [row.reason for row in summary(model)]
        ['not converted', 'one kernel element has nothing to over-parameterize']
    """
    calls = {} if inputs is None else _sizes_of_calls(model, inputs)
    counted: set[tuple[int, Spec]] = set()
    return Summary(_row(each, calls.get(each.layer, []), counted) for each in candidates(model))


def _row(candidate: Candidate, calls: list[Sizes], counted: set[tuple[int, Spec]]) -> SummaryRow:
    (name, *_), module, reason, converted, _ = candidate
    reason = "" if converted else reason or messages.model.CONVERTIBLE
    family = family_of(module)
    if family is None or (spec := family.spec_of(module)) is None:
        return SummaryRow(name, type(module).__name__, reason=reason)
    row = layer_row(
        name,
        family.kind(module),
        spec,
        reason=reason,
        bias=module.bias is not None,
        routing=(routing := getattr(module, "routing", None)) is not None,
        routing_bias=getattr(routing, "bias", None) is not None,
        composition=getattr(module, "composition", "kernel"),
        calls=calls,
        itemsize=next(module.parameters()).element_size(),
    )
    # Layers of one weight have one D, which the first of them counts.
    weight = family.arrays(module)[0] if converted else module._parameters.get("weight")
    key = (id(weight), spec)
    shared = weight is not None and key in counted
    counted.add(key)
    return replace(row, added=0, added_bytes=0) if shared else row


def _sizes_of_calls(
    model: nn.Module, inputs: Tensor | Sequence[Any] | Mapping[str, Any]
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

    handles = [
        module.register_forward_hook(note, with_kwargs=True)
        for module in model.modules()
        if (family := family_of(module)) and family.spec_of(module)
    ]
    training = {module: module.training for module in model.modules()}
    # Named, because torch warns where it would take all of several devices by default.
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            if isinstance(inputs, Mapping):
                model(**inputs)
            else:
                model(*((inputs,) if isinstance(inputs, Tensor) else inputs))
    finally:
        for handle in handles:
            handle.remove()
        for module, flag in training.items():
            module.training = flag
    return calls
