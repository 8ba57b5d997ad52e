"""A user's program, for type checkers (`make lint`, `make pyright`); never run."""

# ruff: noqa: I001 - doconv_gluon comes first: it makes MXNet importable
# mypy: disable-error-code="import-untyped"
from typing import assert_type

from doconv_core import Summary
from doconv_gluon import DOConv2D, convert, fold, summary
import mxnet as mx
from mxnet.gluon import nn


def program() -> None:
    layer = DOConv2D(8, 3, padding=1, in_channels=3, D_mul=9)
    x = mx.nd.NDArray(None)
    assert_type(layer(x), mx.nd.NDArray)
    assert_type(layer.fold(), nn.Conv2D)
    assert_type(DOConv2D.from_conv(nn.Conv2D(8, 3)), DOConv2D)
    net = nn.HybridSequential()
    assert_type(convert(net, where=lambda name, layer: True), nn.HybridSequential)
    assert_type(fold(net), nn.HybridSequential)
    assert_type(summary(net), Summary)

    DOConv2D(8)  # type: ignore[call-arg]
    DOConv2D("8", 3)  # type: ignore[arg-type]
    DOConv2D(8, 3, composition="fast")  # type: ignore[arg-type]
