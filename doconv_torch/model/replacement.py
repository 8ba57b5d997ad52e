"""NOT output-preserving: large depthwise convolutions give way to new XSepConv layers."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, TypeVar

from torch import nn

from doconv_core import messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_core.neighbours.xsepconv import corners_after, why_kept
from doconv_torch.layers.hosts import HOSTS, is_convolution, spec_of, why_plain
from doconv_torch.layers.xsepconv import XSepConv2d
from doconv_torch.model.checks import check_ready
from doconv_torch.model.walk import copied, over_parameterized

logger = logging.getLogger("doconv")

Model = TypeVar("Model", bound=nn.Module)

_ONLY_OF_CONVOLUTIONS = (
    *nn.Conv2d.__constants__,
    "transposed",
    "_reversed_padding_repeated_twice",
)
_ARRAYS_AND_CHILDREN = ("_parameters", "_buffers", "_modules")


def convert_depthwise(
    model: Model, *, where: Where | None = None, inplace: bool = False, D_mul: Any = None
) -> Model:
    """NOT output-preserving: replace large depthwise convolutions by new XSepConv layers.

    Every ``nn.Conv2d`` that is depthwise with one output for each channel, with a square kernel
    of odd size 5 or more, padded with zeros so that stride 1 keeps the size, gives way to an
    :class:`XSepConv2d` of its stride, dilation, bias, device and type, with random, trainable
    parameters: train the model before use. The corners go around in the model's order. The layer
    changes its class in place, so whatever holds it goes on holding it, its hooks and training
    flag stay, and a layer used twice becomes one. What is left is left with a reason, logged.

    Args:
        model: any module; a single convolution too.
        where: ``where(name, layer)`` picks layers. None picks all. A layer with several names is
            picked if any of them is.
        inplace: change ``model`` itself (build its optimizer afterwards); otherwise a deep copy.
        D_mul: as of :class:`XSepConv2d`.

    Returns:
        The model with its depthwise convolutions replaced.

    Raises:
        ValueError: D_mul is too small, a layer is lazy, or the model is wrapped for distributed
            training. The model is then as it was.
        TypeError: not a module.

    Source: arXiv 2002.12046.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.BatchNorm2d(8))
        >>> type(convert_depthwise(model)[0]).__name__
        'XSepConv2d'
    """
    if not isinstance(model, nn.Module):
        raise TypeError(messages.layer.wrong_type("model", model, "a torch.nn.Module"))
    check_ready(model)
    # Decide everything, then build everything, then change the model: an error leaves it whole.
    decided = plan(_candidates(model), where)
    if not inplace:
        model = copied(model)
    layers = [model.get_submodule(each.names[0]) for each in decided.chosen]
    corners = corners_after(decided.already, len(layers))
    new = [_like(layer, corner, D_mul) for layer, corner in zip(layers, corners, strict=True)]
    for layer, other in zip(layers, new, strict=True):
        _become(layer, other)
    decided.report("convert_depthwise", "replaced", messages.neighbours.NOTHING_REPLACED)
    if layers:
        logger.warning(messages.neighbours.not_preserving(len(layers)))
    return model


def _candidates(model: nn.Module) -> list[Candidate]:
    """Every convolution once, and the layers that have given way before."""
    trained = {layer.module for layer in over_parameterized(model)}
    users = Counter(id(array) for module in model.modules() for array in _own_arrays(module))
    found: dict[nn.Module, Candidate] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        done = isinstance(module, XSepConv2d)
        if not done and not is_convolution(module):
            continue
        if module not in found:
            reason = "" if done else _why_left(module)
            if module in trained:
                reason = messages.neighbours.FOLD_FIRST
            elif not reason and any(users[id(array)] > 1 for array in _own_arrays(module)):
                reason = messages.neighbours.TIED
            found[module] = Candidate([], module, reason, done)
        found[module].names.append(name)
    return list(found.values())


def _own_arrays(module: nn.Module) -> list[nn.Parameter]:
    return [array for array in module._parameters.values() if array is not None]


def _why_left(module: Any) -> str:
    if (reason := why_plain(module)) not in ("", messages.model.POINTWISE):
        return reason
    if type(module) not in HOSTS:  # what it is besides would be lost
        return messages.model.OWN_FORWARD
    return why_kept(
        spec_of(module),
        padding=module.padding,
        dilation=module.dilation,
        padding_mode=module.padding_mode,
    )


def _like(conv: nn.Module, corner: int, D_mul: Any) -> XSepConv2d:
    assert isinstance(conv, nn.Conv2d)
    layer = XSepConv2d(
        conv.in_channels,
        conv.kernel_size,
        conv.stride,
        dilation=conv.dilation,
        bias=conv.bias is not None,
        corner=corner,
        D_mul=D_mul,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    return layer.train(conv.training)


def _become(module: nn.Module, other: nn.Module) -> None:
    """Turn a convolution into another module: its class, what it holds, and what it computes.

    What every module has, such as hooks, and what its owner has put on it, stays.
    """
    state, bookkeeping = vars(module), vars(nn.Module()).keys() - set(_ARRAYS_AND_CHILDREN)
    for name in _ONLY_OF_CONVOLUTIONS:
        state.pop(name, None)
    state.update({name: value for name, value in vars(other).items() if name not in bookkeeping})
    module.__class__ = type(other)
