"""NOT output-preserving: large depthwise convolutions give way to new XSepConv layers."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
from doconv_core.model.replacing import Found, plan, report

from doconv_core import messages
from doconv_core.neighbours.xsepconv import why_kept
from doconv_tf.layers.copying import copy
from doconv_tf.layers.do_conv import DOConvBase
from doconv_tf.layers.hosts import HOSTS
from doconv_tf.layers.nesting import check_keras, everything, holders
from doconv_tf.layers.xsepconv import REPLACEABLE, XSepConv2D, become, built
from doconv_tf.model.conversion import Where, forget_traces, warn_if_not_trained
from doconv_tf.model.walk import Convolution, convolutions

Model = TypeVar("Model", bound=keras.layers.Layer)


def convert_depthwise(
    model: Model, *, where: Where | None = None, inplace: bool = False, D_mul: Any = None
) -> Model:
    """NOT output-preserving: replace large depthwise convolutions by new XSepConv layers.

    Every ``DepthwiseConv2D`` (or ``Conv2D`` with as many groups as channels) with one output for
    each channel, a square kernel of odd size 5 or more and ``padding="same"`` gives way to an
    :class:`XSepConv2D` of its arguments and name (but of its own initializer, where the layer
    has Keras's default), with random, trainable variables: train the model before use. The
    corners go around in the model's order. The layer changes its class in place, so whatever
    holds it goes on holding it, and a layer used twice becomes one. What is left is left with a
    reason, logged.

    A layer of your own that makes its convolution anew, when it is loaded from a ``.keras`` file,
    knows nothing of the change: rebuild the model, convert it again, then load its weights.

    Args:
        model: a built model or layer; a single convolution too.
        where: ``where(name, layer)`` picks layers. None picks all. A layer with several names is
            picked if any of them is.
        inplace: change ``model`` itself. Otherwise a copy, not compiled; see
            :func:`doconv_tf.convert`.
        D_mul: as of :class:`XSepConv2D`.

    Returns:
        The model with its depthwise convolutions replaced. Compile it before ``fit``, and anew
        whatever model holds it and was fitted before.

    Raises:
        ValueError: D_mul is too small, a layer is not built, the model cannot be copied, or (in
            place) its optimizer is already built. The model is then as it was.
        TypeError: not a layer or model of Keras 3.

    Source: arXiv 2002.12046.

    Example:
        >>> layers = [keras.layers.DepthwiseConv2D(5, padding="same"), keras.layers.ReLU()]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> [type(layer).__name__ for layer in convert_depthwise(model).layers]
        ['XSepConv2D', 'ReLU']
    """
    check_keras(model)
    if not inplace:
        model = copy(model)
    # Decide everything, then build everything, then change the model: an error leaves it whole.
    already = sum(isinstance(layer, XSepConv2D) for layer in everything(model))
    found = [Found(each.names, each.layer, _why_kept(each)) for each in convolutions(model)]
    replaced, reasons = plan(found, where, already)
    if replaced:
        _check_optimizers(model)
    new = [_like(each.layer, each.corner, D_mul) for each in replaced]
    for each, layer in zip(replaced, new, strict=True):
        become(each.layer, layer)
    if replaced:
        changed = holders(model) if inplace else everything(model)
        forget_traces(changed)
        warn_if_not_trained(changed, [v for each in replaced for v in each.layer.variables])
    report(replaced, reasons, already)
    return model


def _why_kept(convolution: Convolution) -> str:
    names, layer, reason = convolution
    if isinstance(layer, DOConvBase):
        return messages.neighbours.FOLD_FIRST
    if reason not in ("", messages.model.POINTWISE):
        return reason
    if type(layer) not in REPLACEABLE:
        return messages.neighbours.NOT_DEPTHWISE
    if not layer.built:
        raise ValueError(messages.model.uninitialized(names[0], type(layer).__name__))
    spec = HOSTS[type(layer)].read_spec(layer)
    return why_kept(spec, padding=layer.padding, dilation=layer.dilation_rate)


def _check_optimizers(model: keras.layers.Layer) -> None:
    for layer in everything(model):
        optimizer = getattr(layer, "optimizer", None) if isinstance(layer, keras.Model) else None
        if optimizer is not None and optimizer.built:
            raise ValueError(messages.neighbours.replaced_too_late(layer.name))


def _like(conv: Any, corner: int, D_mul: Any) -> XSepConv2D:
    kernel = HOSTS[type(conv)].role  # what the arguments of its kernel begin with
    initializer = getattr(conv, f"{kernel}_initializer")
    if type(initializer) is keras.initializers.GlorotUniform:  # Keras's default: then ours
        initializer = None
    layer = XSepConv2D(
        conv.kernel_size,
        conv.strides,
        data_format=conv.data_format,
        dilation_rate=conv.dilation_rate,
        activation=conv.activation,
        use_bias=conv.use_bias,
        depthwise_initializer=initializer,
        bias_initializer=conv.bias_initializer,
        depthwise_regularizer=getattr(conv, f"{kernel}_regularizer"),
        bias_regularizer=conv.bias_regularizer,
        depthwise_constraint=getattr(conv, f"{kernel}_constraint"),
        bias_constraint=conv.bias_constraint,
        corner=corner,
        D_mul=D_mul,
        activity_regularizer=conv.activity_regularizer,
        autocast=conv.autocast,
        dtype=conv.dtype_policy,
        name=conv.name,
    )
    channels = HOSTS[type(conv)].read_spec(conv).in_channels
    shape: list[int | None] = [None] * 4
    shape[-1 if conv.data_format == "channels_last" else 1] = channels
    return built(layer, conv.path, tuple(shape))
