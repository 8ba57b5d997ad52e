"""A user's program, for type checkers (`make lint`, `make pyright`); never run.

What must be an error carries an ignore, which both report if there is none.
"""

from typing import assert_type

import torch
from torch import Tensor, nn

from doconv_core import Summary
from doconv_torch import (
    CondConv2d,
    DOConv2d,
    DOConvTranspose2d,
    OptimizerDOConv,
    XSepConv2d,
    convert,
    fold,
    get_state,
    set_state,
    summary,
)


def program() -> None:
    x = torch.zeros(1, 3, 8, 8)
    layer = DOConv2d(
        3, 8, (3, 3), 1, "same", padding_mode="reflect", D_mul=9, composition="feature"
    )
    assert_type(layer(x), Tensor)
    assert_type(layer.composed_kernel(), Tensor)
    assert_type(layer.fold(), nn.Conv2d)
    assert_type(layer.D, nn.Parameter | None)
    assert_type(layer.spec.K, int)
    assert_type(DOConv2d.from_conv(nn.Conv2d(3, 8, 3)), DOConv2d)
    up = DOConvTranspose2d(8, 3, 2, stride=2)
    assert_type(up(x, output_size=[16, 16]), Tensor)
    assert_type(CondConv2d(3, 8, 3, num_experts=2, evaluation="kernels")(x), Tensor)
    assert_type(XSepConv2d(3, 5, D_mul="K").fold(), XSepConv2d)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = DOConv2d(3, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).relu()

    assert_type(convert(Network()), Network)
    assert_type(convert(nn.Sequential(layer), where=lambda name, layer: True), nn.Sequential)
    assert_type(fold(Network()), Network)
    assert_type(fold(layer), nn.Conv2d)
    assert_type(fold(up, inplace=True), nn.ConvTranspose2d)
    assert_type(summary(Network(), x), Summary)
    set_state(Network(), get_state(Network()))
    OptimizerDOConv(Network(), torch.optim.SGD(layer.parameters(), 0.1)).remove()

    DOConv2d(3, 8)  # type: ignore[call-arg]
    DOConv2d(3, 8, 3, D_mull=9)  # type: ignore[call-arg]
    DOConv2d(3, 8, 3, composition="fast")  # type: ignore[arg-type]
    DOConv2d.from_conv(nn.Conv1d(3, 8, 3))  # type: ignore[arg-type]
    layer("x")  # type: ignore[arg-type]
    convert(3)  # type: ignore[type-var]
