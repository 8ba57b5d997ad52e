"""convert and fold: from plain convolutions to DO-Conv layers and back, function preserved.

Both change a block's class in place. So everything that holds the block (parents, attributes,
lists, hooks) goes on holding it, its parameters stay the same objects under the same names, and a
Trainer goes on with them.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from doconv_core import messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.arrays import (
    blocks_once,
    columns_of,
    form_of,
    named_blocks,
    to_plain_layout,
)
from doconv_gluon.layers.condconv import CondConvNd
from doconv_gluon.layers.copying import clear_cached_graphs, copy_model
from doconv_gluon.layers.folding import fold_, folded_kernel, why_not_foldable
from doconv_gluon.layers.hosts import HOSTS
from doconv_gluon.model.training import New, add_parameters, warn_if_not_trained
from doconv_gluon.model.walk import (
    in_symbol_block,
    is_candidate,
    is_over_parameterized,
    why_plain,
    with_shared_weight,
)
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.initialization import new_parameters

logger = logging.getLogger("doconv")

Model = TypeVar("Model")


def convert(
    model: Model,
    *,
    where: Where | None = None,
    D_mul: int | None = None,
    inplace: bool = False,
    trainer: Any = None,
) -> Model:
    """Over-parameterize the convolutions of a model; its output does not change by a bit.

    Every ``nn.Conv{1,2,3}D`` and ``nn.Conv{1,2,3}DTranspose`` with more than one kernel element
    becomes its DO-Conv layer and keeps its very ``weight`` and ``bias``, names, flags and hooks;
    the experts of a plain CondConv layer get their D's. Each new parameter is called like the
    weight, with D in its place. What cannot be converted is
    left as it was; :func:`summary` gives the reasons. Converting twice changes nothing. The model
    may be initialized or not.

    Args:
        model: any Block, the outermost one where it is hybridized; a single convolution too.
        where: ``where(name, layer)`` picks layers, e.g. a backbone's. None picks all. A layer
            that is reached by several names is picked if any of them is.
        D_mul: columns of W in every converted layer; None means one per kernel element.
        inplace: change ``model`` itself; otherwise a deep copy.
        trainer: a ``gluon.Trainer`` already built on the model (needs ``inplace=True``); it gets
            each D whose weight it trains. D needs no weight decay of its own: it is the offset
            from the identity, so decay draws it back to the plain layer.

    Returns:
        The converted model.

    Raises:
        TypeError: ``model`` is not a Block.
        ValueError: D_mul is too small for a layer, or the root is a convolution that cannot be
            converted. The model is then as it was.

    Example:
        >>> from mxnet.gluon import nn
        >>> net = nn.HybridSequential()
        >>> net.add(nn.Conv2D(8, 3, in_channels=3), nn.Activation("relu"))
        >>> convert(net)[0]
        DOConv2D(3 -> 8, kernel_size=(3, 3), stride=(1, 1), D_mul=9)
    """
    _check_block(model)
    if trainer is not None and not inplace:
        raise ValueError(messages.model.optimizer_needs_inplace("trainer"))
    # First decide everything, so that an error leaves the model as it was.
    decided = plan(_candidates(model), where, model)
    already = [block for block in blocks_once(model).values() if is_over_parameterized(block)]
    torn = with_shared_weight(model, [*(each.layer for each in decided.chosen), *already])
    decided = decided.leave(lambda conv: id(conv) in torn, gluon_messages.SHARED_WEIGHT)
    chosen = {each.names[0]: columns_of(each.layer, D_mul) for each in decided.chosen}
    if not inplace:
        model = copy_model(model)
    converted = _over_parameterize(model, chosen)
    if trainer is not None:
        add_parameters(trainer, converted)
    warn_if_not_trained(converted)
    decided.report("convert", "over-parameterized", messages.model.NOTHING_CONVERTED)
    return model


def fold(model: Model, *, inplace: bool = False) -> Model:
    """Compose every DO-Conv layer once and give the plain model back: same classes, same names.

    Over-parameterized CondConv layers become plain CondConv layers.

    Args:
        model: any Block; a single DO-Conv layer too.
        inplace: change ``model`` itself, writing each kernel into its ``weight`` (whose gradient
            is cleared); a Trainer goes on with it (one that updates on a kvstore with a new
            optimizer state, as after every ``set_data``). Otherwise a deep copy that shares
            nothing with it.

    Returns:
        The plain model. Folding it again changes nothing.

    Raises:
        TypeError: ``model`` is not a Block.
        ValueError: an array is not finite or has no values yet, a kernel does not fit its type,
            a layer is of a subclass, or its weight is also that of a plain layer. The model is
            then as it was.

    Numerics: the kernel is composed in float64 and rounded once to the weight's type.

    Example:
        >>> from mxnet.gluon import nn
        >>> net = nn.HybridSequential()
        >>> net.add(nn.Conv2D(8, 3, in_channels=3))
        >>> net.initialize()
        >>> fold(convert(net))
        HybridSequential(
          (0): Conv2D(3 -> 8, kernel_size=(3, 3), stride=(1, 1))
        )
    """
    _check_block(model)
    layers = {name: b for name, b in blocks_once(model).items() if is_over_parameterized(b)}
    torn = with_shared_weight(model, layers.values())
    for name, layer in layers.items():
        reason = why_not_foldable(layer) or (
            gluon_messages.SHARED_WEIGHT if id(layer) in torn else ""
        )
        if reason:
            raise ValueError(messages.model.cannot_fold(name, type(layer).__name__, reason))
    # Compute everything before the model changes. Layers that share their arrays share a kernel.
    kernels = {name: folded_kernel(name, layer) for name, layer in layers.items()}
    if not inplace:
        model = copy_model(model)
    blocks = blocks_once(model)
    for name, kernel in kernels.items():
        layer = blocks[name]
        fold_(layer, kernel)
    clear_cached_graphs(model)
    logger.info("fold: %d convolutions folded", len(layers))
    return model


def _candidates(model: Any) -> list[Candidate]:
    found: dict[Any, Candidate] = {}
    for name, block in named_blocks(model):
        if is_candidate(block):
            done = is_over_parameterized(block)
            new = Candidate([], block, "" if done else why_plain(block), done)
            found.setdefault(block, new).names.append(name)
    fixed = [
        Candidate([name], node, gluon_messages.IN_SYMBOL_BLOCK)
        for name, block in blocks_once(model).items()
        for node in in_symbol_block(block)
    ]
    return [*fixed, *found.values()]


def _over_parameterize(model: Any, chosen: dict[str, int]) -> list[New]:
    blocks = blocks_once(model)
    made: dict[int, dict[str, Any]] = {}
    for name, columns in chosen.items():  # nothing of the model changes in this loop
        conv = blocks[name]
        if id(conv.weight) not in made:  # layers that share a weight share its D
            experts = conv.num_experts if isinstance(conv, CondConvNd) else None
            form, prefix = form_of(conv, columns), conv.params.prefix
            made[id(conv.weight)] = new_parameters(form, conv.weight, prefix, experts)
    converted = []
    for name, columns in chosen.items():
        conv = blocks[name]
        parameters = made[id(conv.weight)]
        to_plain_layout(conv.weight)
        if isinstance(conv, CondConvNd):
            conv.over_parameterize_(columns, parameters)
        else:
            conv.__class__ = HOSTS[type(conv)]
            conv.over_parameterize_(columns, "kernel", parameters)
        converted.append((conv.weight, list(parameters.values())))
    clear_cached_graphs(model)
    return converted


def _check_block(model: Any) -> None:
    if not isinstance(model, mx.gluon.Block):
        raise TypeError(messages.layer.wrong_type("model", model, "a gluon.Block"))
