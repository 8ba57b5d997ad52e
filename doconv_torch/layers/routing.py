"""The routing of CondConv: which mixture of experts an example gets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from doconv_torch.tensors.composition import outside_autocast


class Routing(nn.Linear):
    """The mixture for each example: sigmoid(global average pool(x) R).

    One for several layers of a block, which then have ``routing=False`` and share its alpha; a
    CondConv layer with ``routing=True`` holds one of its own. Initialized as ``nn.Linear``.

    Args:
        in_channels: I.
        num_experts: E.
        device, dtype: as every module of torch takes them.
        bias: True adds one within the sigmoid, as the authors' program and timm do; the paper's
            formula has none.

    Shape:
        - input: (N, I, *positions), of any spatial rank.
        - output, alpha: (N, E), in ``weight``'s dtype, under autocast too.
        - ``weight`` (R transposed): (E, I). ``bias``: (E,) or None.

    Source: arXiv 1904.04971, section 3.1.

    Example:
        >>> import torch
        >>> from doconv_torch import CondConv2d, Routing
        >>> routing = Routing(16, 4)
        >>> layer = CondConv2d(16, 32, 3, num_experts=4, routing=False)
        >>> x = torch.zeros(2, 16, 8, 8)
        >>> layer(x, routing(x)).shape
        torch.Size([2, 32, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        num_experts: int,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__(in_channels, num_experts, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        with outside_autocast(input.device.type):
            pooled = input.to(self.weight.dtype).flatten(2).mean(2)
            return torch.sigmoid(super().forward(pooled))
