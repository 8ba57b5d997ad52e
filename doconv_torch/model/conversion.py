"""convert and fold: from plain convolutions to DO-Conv layers and back, function preserved.

Both change a layer's class in place, as ``torch.nn.utils.parametrize`` does. So everything that
holds the layer (parents, lists, hooks, an optimizer its weight) goes on holding it, and all its
attributes stay.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from doconv_core import messages
from doconv_core.kernel.initialization import Start, start_of
from doconv_core.model.folding import fold_layers, warn_if_D_is_left
from doconv_core.model.planning import Where, plan, warn_if_large
from doconv_torch.layers.arrays import (
    ArraysKey,
    OverParameterized,
    folded_kernel,
    is_writable,
)
from doconv_torch.layers.families import family_of
from doconv_torch.layers.parametrized import OverParameterization
from doconv_torch.model.at_optimizer import check_not_at_optimizer
from doconv_torch.model.checks import (
    check_copied,
    check_foldable,
    check_not_wrapped,
    check_ready,
    warn_if_merged_elsewhere,
)
from doconv_torch.model.training import (
    New,
    add_parameters,
    refuse_partitioned,
    warn_if_copy_not_trained,
    warn_if_not_trained,
)
from doconv_torch.model.walk import candidates, copied, over_parameterized, users_of_weights
from doconv_torch.tensors.initialization import Spec, apart_generator, compensate_

logger = logging.getLogger("doconv")

Model = TypeVar("Model", bound=nn.Module)
SUBCLASSES = ("skip", "parametrize")


def convert(
    model: Model,
    *,
    where: Where | None = None,
    D_mul: int | str | None = None,
    inplace: bool = False,
    optimizer: Optimizer | None = None,
    subclasses: str = "skip",
    max_kernel_elements: int | None = None,
    D_init: str = "identity",
    W_extra_init: str = "zeros",
) -> Model:
    """Over-parameterize the convolutions of a model; its output does not change by a bit.

    Every ``nn.Conv{1,2,3}d`` and ``nn.ConvTranspose{1,2,3}d`` with more than one kernel element
    becomes its DO-Conv layer and keeps its very ``weight`` and ``bias``, flags and hooks, and so
    does a subclass that inherits their forward; the experts of a plain CondConv layer get their
    D's. What cannot be converted is left as it was; :func:`summary` gives the reasons. Converting
    twice changes nothing.

    Args:
        model: any module; a single convolution too.
        where: ``where(name, layer)`` picks among the layers of ``model`` itself; or the name, or
            a list of names, of layers or of what holds them, as ``["backbone"]``. None picks all.
            A layer with several names is picked if any of them is.
        D_mul: columns of W in every converted layer; None and "K" mean one per kernel element.
        inplace: change ``model`` itself; otherwise a deep copy.
        optimizer: already built on the model (needs ``inplace=True``); each D joins the
            parameter group of its weight. D needs no weight decay of its own: it is the offset
            from the identity, so decay draws it back to the plain layer.
        subclasses: what to do with a subclass of a convolution, whose forward may be its own:
            "skip", or "parametrize" its weight with ``torch.nn.utils.parametrize``; until fold its
            state keys are then parametrize's, so load plain checkpoints before.
        max_kernel_elements: leave kernels of more elements plain. D has I K S numbers, which for
            a 31 x 31 kernel is 900 times the weight of a depthwise layer.
        D_init: "identity", or "random" as in the paper's ablation; this one does NOT preserve the
            output, which is logged at WARNING.
        W_extra_init: how columns beyond K start, "zeros" or "random", as the authors' do; then
            ``weight`` is what is left of the kernel, and the output is preserved to rounding. A
            weight that other layers use as well gets zeros.

    Returns:
        The converted model.

    Raises:
        ValueError: D_mul is too small for a layer, a layer is lazy, the model is wrapped for
            distributed training or (in place) held by such a wrapper or over-parameterized at an
            optimizer, ``where`` names no layer, or the root is a convolution that cannot be
            converted. The model is then as it was.
        TypeError: an argument is of the wrong type.

    Warns:
        UserWarning: nothing was converted; little was, for one reason; D is larger than the rest
            of the model; or converted layers lie in blocks that merge their weights themselves
            (``reparameterize()`` and the like: fold first). Later, at an optimizer's step: it
            knows no D, or it holds the model that was copied.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1))
        >>> convert(model)[0]
        DOConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), D_mul=9)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(messages.layer.wrong_type("model", model, "a torch.nn.Module"))
    if subclasses not in SUBCLASSES:
        raise ValueError(messages.layer.bad_choice("subclasses", subclasses, SUBCLASSES))
    if optimizer is not None:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                messages.layer.wrong_type("optimizer", optimizer, "a torch.optim.Optimizer")
            )
        if not inplace:
            raise ValueError(messages.model.optimizer_needs_inplace())
        refuse_partitioned(optimizer)
    start = start_of(D_init, W_extra_init)
    check_ready(model)

    # Decide everything, then build everything, then change the model: an error leaves it whole.
    found = candidates(model, any_subclass=subclasses == "parametrize")
    decided = plan(found, where, model, max_kernel_elements=max_kernel_elements)
    chosen = {each.names[0]: _converted_spec(each.layer, D_mul) for each in decided.chosen}
    size = sum(p.numel() for p in model.parameters())
    if inplace:
        check_not_wrapped(model)
        check_not_at_optimizer(decided.chosen)
    else:
        model = copied(model)
    converted = _over_parameterize(model, chosen, start)
    if optimizer is not None:
        add_parameters(optimizer, converted)
    if inplace:
        warn_if_not_trained(converted)
    else:
        weights = [each.layer.weight for each in decided.chosen]
        warn_if_copy_not_trained(weights, [each.weight for each in converted])
    decided.report("convert", "over-parameterized", messages.model.NOTHING_CONVERTED)
    decided.warn_if_mostly_left()
    if chosen and start.D == "random":
        logger.warning(messages.model.random_start(len(chosen)))
    warn_if_merged_elsewhere(model, decided.chosen)
    if chosen:
        largest = max(chosen, key=lambda name: math.prod(chosen[name].D_shape))
        warn_if_large(sum(p.numel() for p in model.parameters()) - size, size, largest)
    return model


def fold(model: Model, *, inplace: bool = False) -> Model:
    """Compose every DO-Conv layer once and give the plain model back: same classes, same keys.

    Over-parameterized CondConv layers become plain CondConv layers.

    Args:
        model: any module; a single DO-Conv layer too.
        inplace: change ``model`` itself, writing each kernel into its ``weight`` (whose gradient
            is dropped); otherwise a deep copy that shares nothing with it.

    Returns:
        The plain model. Folding it again changes nothing.

    Raises:
        ValueError: an array is not finite or is sharded, a kernel does not fit its type, or a
            layer is of a subclass or parametrized, so that its plain form is not known, or has a
            ``__deepcopy__`` that leaves D out. The model is then as it was.

    Numerics: the kernel is composed in float64 and rounded once to the weight's type.

    Example:
        >>> model = convert(nn.Sequential(nn.Conv2d(3, 8, 3)))
        >>> fold(model)
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
        )
    """
    if not isinstance(model, nn.Module):
        raise TypeError(messages.layer.wrong_type("model", model, "a torch.nn.Module"))
    check_foldable(model)
    if not inplace:
        whole, model = model, copied(model)
        check_copied(whole, model)
    found = list(over_parameterized(model))
    # A weight whose other users mean something else by it must not be overwritten.
    users = users_of_weights(model, found)
    kernels: dict[ArraysKey, Tensor] = {}  # layers that share their arrays share a kernel
    apart: dict[ArraysKey, nn.Parameter] = {}

    def compute(layer: OverParameterized) -> Tensor:
        if layer.key not in kernels:
            kernels[layer.key] = folded_kernel(layer)
        return kernels[layer.key]

    @torch.no_grad()
    def restore(layer: OverParameterized, kernel: Tensor) -> None:
        layer.family.restore_(layer.module)
        weight = layer.weight
        if users[id(weight)] != {layer.key} or not is_writable(weight):
            weight = apart.setdefault(
                layer.key, nn.Parameter(torch.empty_like(weight), weight.requires_grad)
            )
            layer.module.weight = weight
        weight.copy_(kernel)
        weight.grad = None

    count = fold_layers(found, compute, restore)
    warn_if_D_is_left(count, _D_without_a_layer(model), type(model).__name__)
    return model


def _D_without_a_layer(model: nn.Module) -> list[str]:
    """The D's that modules hold which are no layers of ours, as in a traced graph."""
    found, parameters = [], dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in model.named_parameters():
        holder, dot, last = name.rpartition(".")
        if last == "D":
            weight = parameters.get(f"{holder}{dot}weight")
            kernel_size = () if weight is None else weight.shape[parameter.ndim - 1 :]
            # Other models have a D, of other shapes.
            if name.endswith("parametrizations.weight.0.D") or (
                parameter.ndim > 2 and parameter.shape[-2] == math.prod(kernel_size)
            ):
                found.append(name)
    return found


def _over_parameterize(model: nn.Module, chosen: Mapping[str, Spec], start: Start) -> list[New]:
    generator = apart_generator()
    users = Counter(id(p) for m in model.modules() for p in m._parameters.values())
    layers: list[tuple[Any, OverParameterization]] = []
    made: dict[tuple[int, Spec], OverParameterization] = {}
    for name, spec in chosen.items():
        layer: Any = model.get_submodule(name)
        key = (id(layer.weight), spec)  # layers that share a weight share its D
        if key not in made:
            alone = users[id(layer.weight)] == 1
            its = start if alone else start._replace(W_extra="zeros")
            made[key] = OverParameterization(spec, layer.weight, generator, its)
        layers.append((layer, made[key]))
    converted = []
    for layer, arrays in layers:
        family, weight = family_of(layer), layer.weight
        if start == Start(W_extra="random"):
            compensate_(arrays.spec, weight, arrays.W_extra)
        assert family is not None
        family.over_parameterize_(layer, arrays)
        new = dict(arrays.named_parameters())
        converted.append(New(weight, new, list(layer.parameters())))
    return converted


def _converted_spec(module: nn.Module, D_mul: int | str | None) -> Spec:
    family = family_of(module)
    assert family is not None
    return family.converted_spec(module, D_mul)
