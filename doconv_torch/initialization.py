"""D and W_extra at birth: made beside a weight, so that the layer computes what it did."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from doconv_core import DOConvSpec


def new_arrays(spec: DOConvSpec, weight: Tensor) -> tuple[nn.Parameter | None, nn.Parameter | None]:
    """Uninitialized D and W_extra of weight's dtype, device and requires_grad (None: has none)."""

    def parameter(*shape: int) -> nn.Parameter:
        return nn.Parameter(weight.new_empty(shape), requires_grad=weight.requires_grad)

    extra = spec.extra_columns
    return (
        parameter(*spec.D_shape) if spec.has_D else None,
        parameter(*weight.shape[:2], extra) if extra else None,
    )


@torch.no_grad()
def reset_arrays(
    spec: DOConvSpec,
    weight: Tensor,
    D: Tensor | None,
    W_extra: Tensor | None,
    generator: torch.Generator | None = None,
) -> None:
    """Make the arrays compose to ``weight``; see :func:`doconv_core.over_parameterize`.

    The columns without an identity are drawn as ``nn.Conv2d`` draws its weight, from
    ``generator`` or else from torch's own.
    """
    if D is not None:
        D.zero_()
    if W_extra is None:
        return
    W_extra.zero_()
    free = spec.free_columns
    if free and not W_extra.is_meta:
        bound = 1 / math.sqrt(weight[0].numel())  # kaiming_uniform_(a=sqrt(5)) on the fan-in
        # On the CPU, whatever the default device: the generator is there.
        drawn = torch.empty(*W_extra.shape[:2], free, device="cpu")
        W_extra[:, :, -free:] = drawn.uniform_(-bound, bound, generator=generator)


def apart_generator() -> torch.Generator:
    """Random numbers that continue torch's own without moving those."""
    generator = torch.Generator("cpu")
    generator.set_state(torch.get_rng_state())
    return generator
