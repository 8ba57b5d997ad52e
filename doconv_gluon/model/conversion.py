"""convert and fold: from plain convolutions to DO-Conv layers and back, function preserved.

Both change a block's class in place. So everything that holds the block (parents, attributes,
lists, hooks) goes on holding it, its parameters stay the same objects under the same names, and a
Trainer goes on with them.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from doconv_core import messages
from doconv_core.kernel.initialization import Start, start_of
from doconv_core.model.folding import fold_layers, warn_if_D_is_left
from doconv_core.model.planning import Where, plan, warn_if_large
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.arrays import (
    check_writable,
    take_copies_from_weight,
    to_plain_layout,
    why_not_writable,
)
from doconv_gluon.layers.copying import clear_cached_graphs, copied
from doconv_gluon.layers.families import family_of
from doconv_gluon.layers.folding import folded_kernel, restore_
from doconv_gluon.layers.sharing import (
    is_shared_from_outside,
    other_users,
    parameters_of,
    users,
)
from doconv_gluon.model.training import New, add_parameters, retire, warn_if_not_trained
from doconv_gluon.model.walk import (
    D_in_graphs,
    blocks_once,
    candidates,
    over_parameterized,
    with_shared_weight,
)
from doconv_gluon.mxnet import mx

logger = logging.getLogger("doconv")

Model = TypeVar("Model")


def convert(
    model: Model,
    *,
    where: Where | None = None,
    D_mul: int | str | None = None,
    max_kernel_elements: int | None = None,
    inplace: bool = False,
    trainer: Any = None,
    D_init: str = "identity",
    W_extra_init: str = "zeros",
) -> Model:
    """Over-parameterize the convolutions of a model; its output does not change by a bit.

    Every ``nn.Conv{1,2,3}D`` and ``nn.Conv{1,2,3}DTranspose`` with more than one kernel element
    becomes its DO-Conv layer and keeps its very ``weight`` and ``bias``, names, flags and hooks;
    the experts of a plain CondConv layer get their D's; in the graph of a SymbolBlock, the
    composition takes the place of a convolution's weight. Each new parameter is called like the
    weight, with D in its place; a layer that shares its weight with one that has a D, of whichever
    network, shares that too, and then computes what that one does. What cannot be converted is
    left as it was; :func:`summary` gives the reasons. Converting twice changes nothing. The model
    may be initialized or not.

    Load a plain checkpoint before converting: Gluon's strict loading asks for every D, and no block
    has a say in that (``load_parameters(file, allow_missing=True)`` leaves D at zero). Cast a
    SymbolBlock before converting it, and run a batch first: its graph fixes types and sizes.

    Args:
        model: any Block, the outermost one where it is hybridized; a single convolution too.
        where: ``where(name, layer)`` picks layers, e.g. a backbone's; or the names of layers, or of
            what holds them: "features", or ["layer3", "layer4"]. None picks all. A layer that is
            reached by several names is picked if any of them is.
        D_mul: columns of W in every converted layer; None or "K" means one per kernel element.
        max_kernel_elements: leave larger kernels: D has I K^2 numbers. None is no limit.
        inplace: change ``model`` itself; otherwise a deep copy.
        trainer: a ``gluon.Trainer`` already built on the model (needs ``inplace=True``); it gets
            each D whose weight it trains. D needs no weight decay of its own: it is the offset
            from the identity, so decay draws it back to the plain layer.
        D_init: "identity", or "random" as in the paper's ablation; this one does NOT preserve the
            output, which is logged at WARNING.
        W_extra_init: how columns beyond K start, "zeros" or "random", as the authors' do; then
            ``weight``, which must have values, becomes what is left of the kernel, and the output
            is preserved to rounding.

    Returns:
        The converted model.

    Raises:
        TypeError: ``model`` is not a Block, or ``where`` is neither a function nor names.
        ValueError: D_mul is too small for a layer, a name in ``where`` is that of no layer, or the
            root is a convolution that cannot be converted. The model is then as it was.

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
    start = start_of(D_init, W_extra_init)
    # First decide everything, so that an error leaves the model as it was.
    decided = plan(candidates(model), where, model, max_kernel_elements=max_kernel_elements)
    changed = [*(each.layer for each in decided.chosen), *over_parameterized(model).values()]
    torn = with_shared_weight(model, changed)
    decided = decided.leave(lambda layer: id(layer) in torn, gluon_messages.SHARED_WEIGHT)
    chosen = {each.names[0]: _columns(each.layer, D_mul) for each in decided.chosen}
    alone = _alone(model, (each.layer for each in decided.chosen)) if inplace else 0
    if not inplace:
        model = copied(model)
    converted, drawn = _over_parameterize(model, chosen, start)
    if trainer is not None:
        add_parameters(trainer, converted)
    if start == Start(W_extra="random"):
        for layer in drawn:
            take_copies_from_weight(layer)
    warn_if_not_trained(converted)
    decided.report("convert", "over-parameterized", messages.model.NOTHING_CONVERTED)
    decided.warn_if_mostly_left()
    if chosen and start.D == "random":
        logger.warning(messages.model.random_start(len(chosen)))
    if alone:
        warnings.warn(gluon_messages.shares_a_plain_weight(alone), UserWarning, stacklevel=2)
    warn_if_large(*_sizes_of_D(model, chosen))
    return model


def fold(model: Model, *, inplace: bool = False) -> Model:
    """Compose every DO-Conv layer once and give the plain model back: same classes, same names.

    Over-parameterized CondConv layers become plain CondConv layers.

    Args:
        model: any Block; a single DO-Conv layer too.
        inplace: change ``model`` itself, writing each kernel into its ``weight`` (whose gradient
            is cleared); a Trainer goes on with it, without D. Otherwise a deep copy that shares
            nothing with it.

    Returns:
        The plain model. Folding it again changes nothing. Export this one, not the converted one:
        MXNet's ONNX converter has no ``linalg_gemm``, and an exported D can no more be folded.

    Raises:
        TypeError: ``model`` is not a Block.
        ValueError: an array is not finite or has no values yet, a kernel does not fit its type,
            a layer is of a subclass, its weight is also that of a plain layer, or (in place) of a
            layer outside of the model, or a Trainer keeps it on the servers of a distributed
            kvstore. The model is then as it was.

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
    layers = over_parameterized(model)
    torn, outside = with_shared_weight(model, layers.values()), other_users(layers.values())
    for name, layer in layers.items():
        reason = _family(layer).why_not_foldable(layer)
        if not reason and id(layer) in torn:
            reason = gluon_messages.SHARED_WEIGHT
        if not reason and inplace:
            shared = outside[id(layer)]
            reason = gluon_messages.SHARED_D if shared else why_not_writable(layer.weight)
        if reason:
            raise ValueError(messages.model.cannot_fold(name, type(layer).__name__, reason))
    if not inplace:
        model = copied(model)
    found = over_parameterized(model)
    # Once the last kernel is computed, before the first array is written.
    retired = cache(lambda: retire(list(found.values())))

    def restore(named: tuple[str, Any], kernel: Any) -> None:
        retired()
        restore_(named[1], kernel)

    # Layers that share their arrays share a kernel: all are computed before one is written.
    fold_layers(found.items(), lambda named: folded_kernel(*named[::-1]), restore)
    clear_cached_graphs(model)
    warn_if_D_is_left(len(found), D_in_graphs(model), "a SymbolBlock")
    return model


def _columns(layer: Any, D_mul: int | str | None) -> int:
    return int(_family(layer).converted_spec(layer, D_mul).S)


def _over_parameterize(
    model: Any, chosen: dict[str, int], start: Start
) -> tuple[list[New], list[Any]]:
    """What is new beside which weights, and the layers of which it was drawn, a weight once."""
    layers = {each.names[0]: each.layer for each in candidates(model)}
    others = other_users(layers[name] for name in chosen)
    made: dict[int, dict[str, Any]] = {}
    drawn = []
    for name, columns in chosen.items():  # nothing of the model changes in this loop
        layer = layers[name]
        if id(layer.weight) not in made:  # layers that share a weight share its D
            new = _shared(name, others[id(layer)], columns)
            if not new:
                if start.W_extra == "random":
                    check_writable(name, layer.weight)
                new = _family(layer).new_parameters(layer, columns, start)
                drawn.append(layer)
            made[id(layer.weight)] = new
    converted = []
    for name, columns in chosen.items():
        layer = layers[name]
        parameters = made[id(layer.weight)]
        to_plain_layout(layer.weight)
        _family(layer).over_parameterize_(layer, columns, parameters)
        converted.append((layer.weight, list(parameters.values())))
    clear_cached_graphs(model)
    return converted, drawn


def _shared(name: str, others: list[Any], columns: int) -> dict[str, Any]:
    """D and W_extra that other layers have beside the same weight; none where there is none."""
    if not others:
        return {}
    if (theirs := others[0].D_mul) != columns:
        raise ValueError(gluon_messages.another_D(name, columns, theirs))
    return parameters_of(others[0])


def _alone(model: Any, layers: Iterable[Any]) -> int:
    """How many have their weight from a network that has not their D."""
    inside = {id(block.params) for block in blocks_once(model).values()}
    return sum(
        is_shared_from_outside(layer, inside) and not users(layer.weight) for layer in layers
    )


def _sizes_of_D(model: Any, chosen: Iterable[str]) -> tuple[int, int, str]:
    """Numbers in new D's and in the rest of the model, as far as known; where the most are."""
    layers = {each.names[0]: each.layer for each in candidates(model)}
    sizes = {
        id(parameter): _size(parameter)
        for block in blocks_once(model).values()
        for parameter in block._reg_params.values()
    }
    new = {name: [getattr(layers[name], each) for each in ("D", "W_extra")] for name in chosen}
    added = sum(
        {id(each): sizes.get(id(each), 0) for pair in new.values() for each in pair}.values()
    )
    largest = max(new, key=lambda name: sizes.get(id(new[name][0]), 0), default="")
    return added, sum(sizes.values()) - added, largest


def _size(parameter: Any) -> int:
    shape = parameter.shape
    return math.prod(shape) if mx.gluon.utils.shape_is_known(shape) else 0


def _family(layer: Any) -> Any:
    family = family_of(layer)
    assert family is not None
    return family


def _check_block(model: Any) -> None:
    if not isinstance(model, mx.gluon.Block):
        raise TypeError(messages.layer.wrong_type("model", model, "a gluon.Block"))
