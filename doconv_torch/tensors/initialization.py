"""D and W_extra at birth: made beside a weight, so that the layer computes what it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from doconv_core import CondConvSpec, DOConvSpec
from doconv_core.kernel.initialization import Start

Spec = DOConvSpec | CondConvSpec
DEFAULT = Start()
_OURS = ("D", "W_extra")


class MetaParameter(nn.Parameter):
    """A D or W_extra without memory, which gets zeros together with it.

    A model that is made on the meta device gets its memory, uninitialized, from
    ``torch.empty_like`` (``Module.to_empty``, transformers' ``from_pretrained``); a plain
    checkpoint has no D, and nobody else knows what to put there.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True, **_: Any) -> MetaParameter:
        made: MetaParameter = super().__new__(cls, data.detach(), requires_grad)
        return made

    @classmethod
    def __torch_function__(
        cls, function: Any, kinds: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.empty_like:
            function = torch.zeros_like
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))


class _ZerosForEmpty(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, kinds: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.empty_like:
            function = torch.zeros_like
        return function(*args, **(kwargs or {}))


def zeros_for(own: Mapping[str, Any], fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What ``Module._apply`` does to a layer, by which a D on the meta device becomes zeros.

    That is for a D which is no :class:`MetaParameter` any more: FSDP2 makes parameters of its own.

    Args:
        own: the layer's parameters by name.
        fn: what it does to every parameter.
    """
    arrays = (own.get(name) for name in _OURS)
    ours = {id(each) for each in arrays if each is not None and each.is_meta}

    def apply(tensor: Tensor) -> Tensor:
        if id(tensor) not in ours:
            return fn(tensor)
        with _ZerosForEmpty():
            return fn(tensor)

    return apply if ours else fn


def new_arrays(spec: Spec, weight: Tensor) -> tuple[nn.Parameter | None, nn.Parameter | None]:
    """Uninitialized D and W_extra of weight's dtype, device and requires_grad (None: has none)."""

    def parameter(*shape: int) -> nn.Parameter:
        kind = MetaParameter if weight.is_meta else nn.Parameter
        return kind(weight.new_empty(shape), requires_grad=weight.requires_grad)

    extra = spec.extra_columns
    return (
        parameter(*spec.D_shape) if spec.has_D else None,
        parameter(*weight.shape[: -len(spec.kernel_size)], extra) if extra else None,
    )


@torch.no_grad()
def reset_arrays(
    spec: Spec,
    weight: Tensor,
    D: Tensor | None,
    W_extra: Tensor | None,
    generator: torch.Generator | None = None,
    start: Start = DEFAULT,
) -> None:
    """Make the arrays compose to ``weight``; see :func:`doconv_core.over_parameterize`.

    The columns without an identity are drawn as ``nn.Conv2d`` draws its weight, from
    ``generator`` or else from torch's own. Another start than the usual one composes to something
    else, unless :func:`compensate_` makes up for it.
    """

    def draw(array: Tensor, variance: float) -> None:
        # On the CPU, whatever the default device: the generator is there.
        bound, drawn = math.sqrt(3 * variance), torch.empty(array.shape, device="cpu")
        array.copy_(_whole_beside(drawn.uniform_(-bound, bound, generator=generator), array))

    if D is not None:
        D.zero_()
        if start.D == "random" and not D.is_meta:
            draw(D, 1 / spec.S)
            D.sub_(identity(D))
    if W_extra is None:
        return
    W_extra.zero_()
    everything = start.W_extra == "random"
    columns = spec.extra_columns if everything else spec.free_columns
    if columns and not W_extra.is_meta:
        fan_in = math.prod(weight.shape[-len(spec.kernel_size) - 1 :])
        if everything:
            fan_in = fan_in * spec.S // spec.K
        draw(W_extra[..., -columns:], 1 / (3 * fan_in))  # kaiming_uniform_(a=sqrt(5))


def _whole_beside(drawn: Tensor, array: Tensor) -> Tensor:
    """What every process has drawn alike, where ``array`` is sharded."""
    mesh: Any = getattr(array, "device_mesh", None)
    if mesh is None:
        return drawn
    from torch.distributed.tensor import DTensor, Replicate  # not part of every build

    return DTensor.from_local(drawn.to(mesh.device_type), mesh, [Replicate()] * mesh.ndim)


def identity(D: Tensor) -> Tensor:
    """What a D (..., K, S) is an offset from, (K, S)."""
    K, S = D.shape[-2:]
    eye = torch.eye(K, dtype=D.dtype, device=D.device)
    return torch.cat([eye] * (S // K) + [eye.new_zeros(K, S % K)], dim=1)


@torch.no_grad()
def compensate_(spec: Spec, weight: Tensor, W_extra: Tensor | None) -> None:
    """Take from ``weight`` what the identity's further copies add to it."""
    if W_extra is not None:
        for column in range(0, spec.extra_columns - spec.free_columns, spec.K):
            added = W_extra[..., column : column + spec.K]
            weight.sub_(added.unflatten(-1, spec.kernel_size))


def arrays_beside(
    spec: Spec,
    weight: Tensor,
    generator: torch.Generator | None = None,
    start: Start = DEFAULT,
) -> tuple[nn.Parameter | None, nn.Parameter | None]:
    """D and W_extra with which a layer of this weight computes what it did."""
    D, W_extra = new_arrays(spec, weight)
    reset_arrays(spec, weight, D, W_extra, generator, start)
    return D, W_extra


def fill_missing_arrays(
    spec: Spec, state_dict: dict[str, Any], prefix: str, own: Mapping[str, Any]
) -> None:
    """Give a plain layer's state the D and W_extra with which the layer computes the same.

    Args:
        spec: the layer's sizes.
        state_dict: what is being loaded; ``load_state_dict`` hands every module a copy.
        prefix: of the layer's keys.
        own: the layer's parameters by name.
    """
    given = state_dict.get(prefix + "weight")
    if not spec.has_D or not isinstance(given, Tensor) or not {"weight", *_OURS} <= own.keys():
        return  # also where one is parametrized or pruned: then it has another name
    ours = {prefix + name: own[name] for name in _OURS}
    if given is not own["weight"]:
        # What a plain state lacks, torch.distributed's set_model_state_dict fills with our own.
        for key in [key for key, array in ours.items() if array is state_dict.get(key, 0)]:
            del state_dict[key]
    if ours.keys() & state_dict.keys():
        return
    weight = given.new_empty(own["weight"].shape)  # load_state_dict reports a wrong one
    D, W_extra = new_arrays(spec, weight)
    # Loading never depends on the random state: every process of a job gets the same.
    reset_arrays(spec, weight, D, W_extra, torch.Generator("cpu").manual_seed(0))
    state_dict[prefix + "D"] = D
    if W_extra is not None:
        state_dict[prefix + "W_extra"] = W_extra


def apart_generator() -> torch.Generator:
    """Random numbers that continue torch's own without moving those."""
    generator = torch.Generator("cpu")
    generator.set_state(torch.get_rng_state())
    return generator
