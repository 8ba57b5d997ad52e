"""NOT output-preserving: large depthwise convolutions give way to new XSepConv layers."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import keras

from doconv_core import messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_core.neighbours.xsepconv import corners_after, why_kept
from doconv_tf.layers.copying import copied
from doconv_tf.layers.hosts import HOSTS
from doconv_tf.layers.nesting import check_keras, everything, holders
from doconv_tf.layers.swapping import check_changeable
from doconv_tf.layers.xsepconv import REPLACEABLE, XSepConv2D, become, built
from doconv_tf.model.training import forget_traces, refuse_built_optimizer, warn_if_not_trained
from doconv_tf.model.walk import candidates
from doconv_tf.tensors.initialization import made_where

logger = logging.getLogger("doconv")

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
        where: which layers, as in :func:`doconv_tf.convert`.
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
    check_changeable(model)
    if not inplace:
        model = copied(model)
    # Decide everything, then build everything, then change the model: an error leaves it whole.
    done = [Candidate([], each, "", True) for each in everything(model) if _is_ours(each)]
    found = [each._replace(reason=_why_left(each), done=False) for each in candidates(model)]
    # No layer is a root that must be replaced: a model of one other convolution is only left.
    decided = plan([*done, *found], where)
    chosen = decided.chosen
    if chosen:
        refuse_built_optimizer(model, messages.neighbours.replaced_too_late)
    corners = corners_after(decided.already, len(chosen))
    new = [_like(each.layer, corner, D_mul) for each, corner in zip(chosen, corners, strict=True)]
    for each, layer in zip(chosen, new, strict=True):
        become(each.layer, layer)
    if chosen:
        changed = holders(model) if inplace else everything(model)
        forget_traces(changed)
        warn_if_not_trained(changed, [v for each in chosen for v in each.layer.variables])
    decided.report("convert_depthwise", "replaced", messages.neighbours.NOTHING_REPLACED)
    if chosen:
        logger.warning(messages.neighbours.not_preserving(len(chosen)))
    return model


def _is_ours(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, XSepConv2D)


def _why_left(candidate: Candidate) -> str:
    names, layer, reason, converted, _ = candidate
    if converted:
        return messages.neighbours.FOLD_FIRST
    if reason not in ("", messages.model.POINTWISE):
        return reason
    if type(layer) not in REPLACEABLE:
        subclass = isinstance(layer, REPLACEABLE)  # XSepConv could not be of its class
        return messages.model.OWN_FORWARD if subclass else messages.neighbours.NOT_DEPTHWISE
    if not layer.built:
        raise ValueError(messages.model.uninitialized(names[0], type(layer).__name__))
    spec = HOSTS[type(layer)].spec_of(layer)
    return why_kept(spec, padding=layer.padding, dilation=layer.dilation_rate)


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
    channels = HOSTS[type(conv)].spec_of(conv).in_channels
    shape: list[int | None] = [None] * 4
    shape[-1 if conv.data_format == "channels_last" else 1] = channels
    with made_where(conv.variables[0]):
        return built(layer, conv.path, tuple(shape))
