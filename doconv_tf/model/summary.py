"""What happened to a model, a row per convolution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from doconv_core import CondConvSpec, DOConvSpec, Summary, SummaryRow, messages
from doconv_core.model.rows import Sizes, layer_row
from doconv_tf.layers.condconv import CondConvBase
from doconv_tf.layers.hosts import HOSTS
from doconv_tf.layers.nesting import check_keras
from doconv_tf.model.walk import Convolution, convolutions, is_over_parameterized


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
    found = convolutions(model)
    calls: dict[int, list[Sizes]] = {}
    if inputs is not None:
        with _noting_calls([each.layer for each in found], calls):
            model(np.zeros(inputs, np.float32) if _is_shape(inputs) else inputs, training=False)
    return Summary(_row(each, calls.get(id(each.layer), [])) for each in found)


def _row(convolution: Convolution, calls: list[Sizes]) -> SummaryRow:
    (name, *_), layer, reason = convolution
    kind, trained = type(layer).__name__, is_over_parameterized(layer)
    if isinstance(layer, CondConvBase):
        kind = "DO-CondConv" if trained else "CondConv"
    reason = "" if trained else reason or messages.model.CONVERTIBLE
    if not layer.built:
        return SummaryRow(name, kind, int(np.prod(layer.kernel_size)), reason=reason)
    spec: DOConvSpec | CondConvSpec
    if isinstance(layer, CondConvBase):
        spec = layer.spec
    else:
        cls = next(HOSTS[host] for host in type(layer).__mro__ if host in HOSTS)
        spec = layer.spec if trained else cls.read_spec(layer)
    pointwise = getattr(layer, "pointwise_kernel", None)
    return layer_row(
        name,
        kind,
        spec,
        reason=reason,
        bias=layer.use_bias,
        routing=getattr(layer, "routing", None) is not None,
        composition=getattr(layer, "composition", "kernel"),
        calls=calls,
        then=None
        if pointwise is None
        else DOConvSpec(spec.out_channels, layer.filters, (1,) * layer.rank),
    )


@contextmanager
def _noting_calls(layers: list[Any], calls: dict[int, list[Sizes]]) -> Iterator[None]:
    """Shadow each layer's ``call`` by one that notes the sizes, as Keras has no hooks."""

    def shadow(layer: Any, call: Any) -> Any:
        def noting(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = call(inputs, *args, **kwargs)
            first = 1 if layer.data_format == "channels_last" else 2
            before, after = (tuple(t.shape)[first : first + layer.rank] for t in (inputs, outputs))
            calls.setdefault(id(layer), []).append((int(inputs.shape[0]), before, after))
            return outputs

        return noting

    own = {id(layer): vars(layer).get("call") for layer in layers}
    for layer in layers:
        vars(layer)["call"] = shadow(layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]
            if own[id(layer)] is not None:
                vars(layer)["call"] = own[id(layer)]


def _is_shape(inputs: Any) -> bool:
    return isinstance(inputs, tuple) and all(isinstance(size, int) for size in inputs)
