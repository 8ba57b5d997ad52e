"""What happened to a model, a row per convolution."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from doconv_core import DOConvSpec, Summary, SummaryRow, messages
from doconv_core.model.planning import Candidate
from doconv_core.model.rows import Sizes, layer_row
from doconv_keras.calls import noting_calls
from doconv_tf.layers.arrays import itemsize
from doconv_tf.layers.families import family_of
from doconv_tf.layers.nesting import check_keras
from doconv_tf.model.walk import candidates


def summary(model: keras.layers.Layer, inputs: Any = None) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    A CondConv layer's plain form is plain CondConv; its MACs are those of mixing kernels.

    Args:
        model: any layer or model, converted or not. It is not changed.
        inputs: one batch as the model takes it, or its shape with the batch size as a tuple of
            integers. It is run once, in inference mode, to fill the multiply-accumulate columns;
            they count this batch. A layer called several times counts each time.

    Returns:
        The rows; printing them gives a table.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.Conv2D(8, 1)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> [row.reason for row in summary(model)]
        ['not converted', 'one kernel element has nothing to over-parameterize']
    """
    check_keras(model)
    found = candidates(model)
    calls: dict[int, list[Sizes]] = {}
    if inputs is not None:
        with noting_calls([each.layer for each in found if _has_sizes(each.layer)], calls):
            model(np.zeros(inputs, np.float32) if _is_shape(inputs) else inputs, training=False)
    return Summary(_row(each, calls.get(id(each.layer), [])) for each in found)


def _row(candidate: Candidate, calls: list[Sizes]) -> SummaryRow:
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


def _has_sizes(layer: Any) -> bool:
    return hasattr(layer, "rank")  # a recurrent layer's are its cell's


def _is_shape(inputs: Any) -> bool:
    return isinstance(inputs, tuple) and all(isinstance(size, int) for size in inputs)
