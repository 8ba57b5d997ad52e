"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from doconv_core import DOConvSpec, Summary, SummaryRow, messages
from doconv_core.model.planning import Candidate
from doconv_core.model.rows import Sizes, layer_row
from doconv_keras.layers.arrays import itemsize
from doconv_keras.model.calls import noting_calls
from doconv_keras.model.walk import FamilyOf


def summary(
    family_of: FamilyOf, found: list[Candidate], run: Callable[..., Any], inputs: Any = None
) -> Summary:
    """A row per candidate.

    Args:
        family_of: the adapter's.
        found: the candidates.
        run: the model.
        inputs: one batch as the model takes it, its shape, or None.
    """
    calls: dict[int, list[Sizes]] = {}
    if inputs is not None:
        with noting_calls([each.layer for each in found if _has_sizes(each.layer)], calls):
            run(np.zeros(inputs, np.float32) if _is_shape(inputs) else inputs, training=False)
    return Summary(_row(family_of, each, calls.get(id(each.layer), [])) for each in found)


def _row(family_of: FamilyOf, candidate: Candidate, calls: list[Sizes]) -> SummaryRow:
    (name, *_), layer, reason, converted, K = candidate
    reason = "" if converted else reason or messages.model.CONVERTIBLE
    family = family_of(layer)
    assert family is not None
    kind, spec = family.kind(layer), family.spec_of(layer)
    if spec is None:
        return SummaryRow(name, kind, K, reason=reason)
    pointwise = getattr(layer, "pointwise_kernel", None)
    return layer_row(
        name,
        kind,
        spec,
        reason=reason,
        bias=layer.use_bias,
        routing=(routing := getattr(layer, "routing", None)) is not None,
        routing_bias=getattr(routing, "use_bias", False),
        composition=getattr(layer, "composition", "kernel"),
        calls=calls,
        then=None
        if pointwise is None
        else DOConvSpec(spec.out_channels, layer.filters, (1,) * layer.rank),
        itemsize=itemsize(layer.variable_dtype),
    )


def _is_shape(inputs: Any) -> bool:
    return isinstance(inputs, tuple) and all(isinstance(size, int) for size in inputs)


def _has_sizes(layer: Any) -> bool:
    return hasattr(layer, "rank")  # a recurrent layer's are its cell's
