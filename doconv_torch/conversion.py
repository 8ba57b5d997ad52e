"""convert and fold: from plain convolutions to DO-Conv layers and back, function preserved.

Both change a layer's class in place, as ``torch.nn.utils.parametrize`` does. So everything that
holds the layer (parents, lists, hooks, an optimizer its weight) goes on holding it, and all its
attributes stay.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from doconv_core import DOConvSpec, messages
from doconv_torch.arrays import (
    OverParameterized,
    folded_weight,
    over_parameterized,
    plain_spec,
    restore_class,
)
from doconv_torch.eligibility import HOSTS, check_ready, is_convolution, is_sharded, why_plain
from doconv_torch.initialization import apart_generator
from doconv_torch.layers import LAYERS, DOConvNd
from doconv_torch.optimizer import New, add_parameters, warn_if_not_trained
from doconv_torch.parametrization import OverParameterization

logger = logging.getLogger("doconv")

Model = TypeVar("Model", bound=nn.Module)
Where = Callable[[str, nn.Module], bool]
SUBCLASSES = ("skip", "parametrize")


def convert(
    model: Model,
    *,
    where: Where | None = None,
    D_mul: int | None = None,
    inplace: bool = False,
    optimizer: Optimizer | None = None,
    subclasses: str = "skip",
) -> Model:
    """Over-parameterize the convolutions of a model; its output does not change by a bit.

    Every ``nn.Conv{1,2,3}d`` and ``nn.ConvTranspose{1,2,3}d`` with more than one kernel element
    becomes its DO-Conv layer and keeps its very ``weight`` and ``bias``, flags and hooks. What
    cannot be converted is left as it was; :func:`summary` gives the reasons. Converting twice
    changes nothing.

    Args:
        model: any module; a single convolution too.
        where: ``where(name, layer)`` picks layers, e.g. a backbone's. None picks all. A layer
            that is reached by several names is picked if any of them is.
        D_mul: columns of W in every converted layer; None means one per kernel element.
        inplace: change ``model`` itself; otherwise a deep copy.
        optimizer: already built on the model (needs ``inplace=True``); each D joins the
            parameter group of its weight. D needs no weight decay of its own: it is the offset
            from the identity, so decay draws it back to the plain layer.
        subclasses: what to do with a subclass of a convolution, whose forward may be its own:
            "skip", or "parametrize" its weight with ``torch.nn.utils.parametrize``.

    Returns:
        The converted model.

    Raises:
        ValueError: D_mul is too small for a layer, a layer is lazy, the model is wrapped for
            distributed training, or the root is a convolution that cannot be converted.
            The model is then as it was.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1))
        >>> convert(model)[0]
        DOConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), D_mul=9)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(messages.wrong_type("model", model, "a torch.nn.Module"))
    if subclasses not in SUBCLASSES:
        raise ValueError(messages.bad_choice("subclasses", subclasses, SUBCLASSES))
    if optimizer is not None and not inplace:
        raise ValueError(messages.optimizer_needs_inplace())
    check_ready(model)
    any_subclass = subclasses == "parametrize"
    if is_convolution(model) and not isinstance(model, DOConvNd):
        reason = why_plain(model, any_subclass=any_subclass)
        if reason and reason != messages.POINTWISE:
            raise ValueError(messages.cannot_convert("", type(model).__name__, reason))
    if not inplace:
        model = copy.deepcopy(model)

    # Decide everything, then build everything, then change the model: an error leaves it whole.
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if is_convolution(module):
            names.setdefault(module, []).append(name)
    already = {layer.module for layer in over_parameterized(model)}
    reasons: Counter[str] = Counter()
    chosen: list[tuple[_ConvNd, DOConvSpec]] = []
    for module, paths in names.items():
        if module in already:
            continue
        reason = why_plain(module, any_subclass=any_subclass)
        if not reason and where and not any(where(path, module) for path in paths):
            reason = messages.NOT_SELECTED
        if reason:
            reasons[reason] += 1
        else:
            assert isinstance(module, _ConvNd)
            chosen.append((module, plain_spec(module, D_mul)))

    converted = _over_parameterize(chosen)
    if optimizer is not None:
        add_parameters(optimizer, converted)
    elif inplace:
        warn_if_not_trained(converted)
    logger.info(
        "convert: %d of %d convolutions over-parameterized%s",
        len(chosen),
        len(names),
        "".join(f"; {count} left: {reason}" for reason, count in reasons.items()),
    )
    if not chosen and not already:
        warnings.warn(messages.NOTHING_CONVERTED, UserWarning, stacklevel=2)
    return model


def fold(model: Model, *, inplace: bool = False) -> Model:
    """Compose every DO-Conv layer once and give the plain model back: same classes, same keys.

    Args:
        model: any module; a single DO-Conv layer too.
        inplace: change ``model`` itself, writing each kernel into its ``weight`` (whose gradient
            is dropped); otherwise a deep copy that shares nothing with it.

    Returns:
        The plain model. Folding it again changes nothing.

    Raises:
        ValueError: an array is not finite or is sharded, a kernel does not fit its type, or a
            layer is of a subclass or parametrized, so that its plain form is not known. The
            model is then as it was.

    Numerics: the kernel is composed in float64 and rounded once to the weight's type.

    Example:
        >>> model = convert(nn.Sequential(nn.Conv2d(3, 8, 3)))
        >>> fold(model)
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
        )
    """
    if not isinstance(model, nn.Module):
        raise TypeError(messages.wrong_type("model", model, "a torch.nn.Module"))
    for layer in over_parameterized(model):
        _check_foldable(layer)
    if not inplace:
        model = copy.deepcopy(model)
    layers = list(over_parameterized(model))
    # Compute everything before the model changes. Layers that share their arrays share a kernel.
    kernels = {_arrays_key(layer): layer for layer in layers}
    folded = {key: folded_weight(layer) for key, layer in kernels.items()}
    # A weight whose other users mean something else by it must not be overwritten.
    users = _users_of_weights(model, layers)
    for layer in layers:
        key = _arrays_key(layer)
        restore_class(layer)
        if users[id(layer.weight)] == {key}:
            with torch.no_grad():
                layer.weight.copy_(folded[key])
            layer.weight.grad = None
        else:
            layer.module.weight = nn.Parameter(
                folded[key].to(layer.weight), layer.weight.requires_grad
            )
    logger.info("fold: %d convolutions folded", len(layers))
    return model


def convert_layer(conv: nn.Module, D_mul: int | None) -> DOConvNd:
    """A converted copy of one plain convolution, of a 1x1 one too; see ``from_conv``."""
    reason = why_plain(conv)
    if reason and reason != messages.POINTWISE:
        raise ValueError(messages.cannot_convert("", type(conv).__name__, reason))
    assert isinstance(conv, _ConvNd)
    layer = copy.deepcopy(conv)
    _over_parameterize([(layer, plain_spec(layer, D_mul))])
    assert isinstance(layer, DOConvNd)
    return layer


def _over_parameterize(chosen: list[tuple[_ConvNd, DOConvSpec]]) -> list[New]:
    generator = apart_generator()
    made: dict[tuple[int, DOConvSpec], OverParameterization] = {}
    for module, spec in chosen:  # modules that share a weight share its D
        key = (id(module.weight), spec)
        if key not in made:
            made[key] = OverParameterization(spec, module.weight, generator)
    converted: list[New] = []
    for module, spec in chosen:
        weight = module.weight
        arrays = made[id(weight), spec]
        converted.append((weight, list(arrays.parameters())))
        if type(module) in HOSTS and "forward" not in module.__dict__:
            module.__class__ = HOSTS[type(module)]
            assert isinstance(module, DOConvNd)
            module.over_parameterize_(spec, arrays.D, arrays.W_extra)
        else:
            parametrize.register_parametrization(module, "weight", arrays)
    return converted


def _check_foldable(layer: OverParameterized) -> None:
    kind, reason = type(layer.module).__name__, ""
    if isinstance(layer.module, DOConvNd):
        if parametrize.is_parametrized(layer.module):
            reason = messages.PARAMETRIZED
        elif not isinstance(layer.module._parameters.get("weight"), nn.Parameter):
            reason = messages.RECOMPUTED_WEIGHT
        elif type(layer.module) not in LAYERS:
            reason = messages.OWN_FORWARD
    if reason:
        raise ValueError(messages.cannot_fold(layer.name, kind, reason))
    for array in (layer.weight, layer.D):
        if array is not None and is_sharded(array):
            raise ValueError(messages.sharded(layer.name, type(array).__name__))


ArraysKey = tuple[int, int, int]


def _arrays_key(layer: OverParameterized) -> ArraysKey:
    return id(layer.weight), id(layer.D), id(layer.W_extra)


def _users_of_weights(
    model: nn.Module, layers: list[OverParameterized]
) -> dict[int, set[ArraysKey | None]]:
    """Per weight, what its users take it for: the arrays of a layer, or itself (None)."""
    users: dict[int, set[ArraysKey | None]] = {id(layer.weight): set() for layer in layers}
    holders: set[nn.Module] = set()
    for layer in layers:
        users[id(layer.weight)].add(_arrays_key(layer))
        holders.add(layer.module)
        if parametrize.is_parametrized(layer.module):
            holders.add(layer.module.parametrizations["weight"])
    for module in set(model.modules()) - holders:
        for parameter in module._parameters.values():
            if id(parameter) in users:
                users[id(parameter)].add(None)
    return users
