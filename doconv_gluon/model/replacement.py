"""NOT output-preserving: large depthwise convolutions give way to new XSepConv layers."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, TypeVar

from doconv_core import messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_core.neighbours.xsepconv import corners_after, why_kept
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.arrays import has_sizes, spec_of
from doconv_gluon.layers.copying import clear_cached_graphs, copied
from doconv_gluon.layers.families import family_of
from doconv_gluon.layers.hosts import is_convolution
from doconv_gluon.layers.xsepconv import XSepConv2D
from doconv_gluon.model.walk import blocks_once, candidates, named_blocks
from doconv_gluon.mxnet import mx

logger = logging.getLogger("doconv")

Model = TypeVar("Model")

_OF_EVERY_BLOCK = ("_forward_hooks", "_forward_pre_hooks", "_active", "_flags")


def convert_depthwise(
    model: Model, *, where: Where | None = None, inplace: bool = False, D_mul: Any = None
) -> Model:
    """NOT output-preserving: replace large depthwise convolutions by new XSepConv layers.

    Every ``nn.Conv2D`` that is depthwise with one output for each channel, with a square kernel
    of odd size 5 or more, padded so that stride 1 keeps the size, gives way to an
    :class:`XSepConv2D` of its arguments, prefix, devices and type, with random, trainable
    parameters (by the weight's own initializer, if it has one): train the model before use. The
    corners go around in the model's order. The block changes its class in place, so whatever
    holds it goes on holding it, its hooks stay, and a layer used twice becomes one. What is left
    is left with a reason, logged.

    Args:
        model: any Block, the outermost one where it is hybridized; a single convolution too.
        where: ``where(name, layer)`` picks layers, or their names do; None picks all. A layer with
            several names is picked if any of them is.
        inplace: change ``model`` itself, before its Trainer is built; otherwise a deep copy.
        D_mul: as of :class:`XSepConv2D`.

    Returns:
        The model with its depthwise convolutions replaced.

    Raises:
        TypeError: ``model`` is not a Block.
        ValueError: D_mul is too small, or (in place) a Trainer has a parameter that would be
            replaced. The model is then as it was.

    Source: arXiv 2002.12046.

    Example:
        >>> from mxnet.gluon import nn
        >>> net = nn.HybridSequential()
        >>> net.add(nn.Conv2D(8, 5, padding=2, groups=8, in_channels=8), nn.BatchNorm())
        >>> type(convert_depthwise(net)[0]).__name__
        'XSepConv2D'
    """
    if not isinstance(model, mx.gluon.Block):
        raise TypeError(messages.layer.wrong_type("model", model, "a gluon.Block"))
    # Decide everything, then build everything, then change the model: an error leaves it whole.
    decided = plan(_candidates(model), where)
    for each in decided.chosen:
        if inplace and each.layer.weight._trainer is not None:
            raise ValueError(messages.neighbours.replaced_too_late(each.names[0], "trainer"))
    if not inplace:
        model = copied(model)
    blocks = blocks_once(model)
    layers = [blocks[each.names[0]] for each in decided.chosen]
    corners = corners_after(decided.already, len(layers))
    new = [_like(conv, corner, D_mul) for conv, corner in zip(layers, corners, strict=True)]
    for conv, layer in zip(layers, new, strict=True):
        _become(conv, layer)
    clear_cached_graphs(model)
    decided.report("convert_depthwise", "replaced", messages.neighbours.NOTHING_REPLACED)
    if layers:
        logger.warning(messages.neighbours.not_preserving(len(layers)))
    return model


def _candidates(model: Any) -> list[Candidate]:
    users: Counter[int] = Counter()
    for block in blocks_once(model).values():
        users.update(id(parameter) for parameter in block._reg_params.values())

    def tied(conv: Any) -> bool:
        return any(users[id(parameter)] > 1 for parameter in conv._reg_params.values())

    found = []
    for each in candidates(model):
        if not isinstance(each.layer, mx.gluon.Block):
            reason = each.reason or gluon_messages.IN_SYMBOL_BLOCK
            found.append(Candidate(each.names, each.layer, reason))
        elif is_convolution(each.layer):
            reason = messages.neighbours.FOLD_FIRST if each.done else _why_left(each.layer)
            if not reason and tied(each.layer):
                reason = messages.neighbours.TIED
            found.append(Candidate(each.names, each.layer, reason))
    replaced = {block: name for name, block in named_blocks(model) if isinstance(block, XSepConv2D)}
    return [*found, *(Candidate([name], block, "", True) for block, name in replaced.items())]


def _why_left(conv: Any) -> str:
    family = family_of(conv)
    assert family is not None
    if (reason := family.why_plain(conv)) not in ("", messages.model.POINTWISE):
        return reason
    if not has_sizes(conv):
        return messages.model.NO_VALUES_YET
    given = conv._kwargs
    reason = why_kept(spec_of(conv), padding=given["pad"], dilation=given["dilate"])
    last = given["layout"].endswith("C")
    return gluon_messages.CHANNELS_LAST if not reason and last else reason


def _like(conv: Any, corner: int, D_mul: Any) -> XSepConv2D:
    given = conv._kwargs
    layer = XSepConv2D(
        given["num_filter"],
        given["kernel"],
        given["stride"],
        dilation=given["dilate"],
        activation=None if conv.act is None else conv.act._act_type,
        use_bias=conv.bias is not None,
        weight_initializer=conv.weight.init,
        bias_initializer="zeros" if conv.bias is None else conv.bias.init,
        corner=corner,
        D_mul=D_mul,
        prefix=conv.prefix,
    )
    layer.cast(conv.weight.dtype)
    if conv.weight._data is not None:
        layer.initialize(ctx=conv.weight.list_ctx())
    return layer


def _become(block: Any, other: Any) -> None:
    """Turn a block into another one: its class and all its state but what every block has."""
    state = vars(block)
    kept = {name: state[name] for name in _OF_EVERY_BLOCK}
    state.clear()
    state.update({**vars(other), **kept})
    block.__class__ = type(other)
