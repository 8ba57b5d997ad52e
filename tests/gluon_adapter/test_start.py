"""Other starts than the plain layer's: a random D, and all columns of W drawn alike."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from doconv_core.kernel.initialization import identity
from doconv_gluon import CondConv2D, DOConv2D, DOConv2DTranspose, convert, fold
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import images, layers_of, network, nn, values


def made(cls: type = DOConv2D, *, D_mul: int = 22, **start: Any) -> Any:
    mx.random.seed(0)
    layer = cls(64, 3, in_channels=32, D_mul=D_mul, **start)
    layer.initialize(mx.init.Xavier())
    return layer


@pytest.mark.parametrize("D_mul", [9, 22])
def test_a_random_D_keeps_the_variance_of_W(D_mul: int) -> None:
    whole = made(D_mul=D_mul, D_init="random").D.data().asnumpy() + identity(9, D_mul)
    bound = np.sqrt(3 / D_mul)
    assert abs(whole).max() <= bound
    np.testing.assert_allclose(whole.std(), bound / np.sqrt(3), rtol=0.05)
    assert abs(whole.mean()) < 0.02


@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_all_columns_of_W_are_drawn_alike(cls: type) -> None:
    layer, usual = made(cls, W_extra_init="random"), made(cls)
    extra, weight = layer.W_extra.data().asnumpy(), layer.weight.data().asnumpy()
    np.testing.assert_allclose(
        weight.std(), usual.weight.data().asnumpy().std() * np.sqrt(9 / 22), rtol=1e-5
    )
    for columns in (extra[..., :9], extra[..., 9:]):
        np.testing.assert_allclose(columns.std(), weight.std(), rtol=0.05)
    assert not layer.D.data().asnumpy().any()
    assert layer.fold().weight.init is None


@pytest.mark.parametrize("start", [{"D_init": "one"}, {"W_extra_init": "ones"}], ids=str)
def test_unknown_starts_are_errors(start: dict[str, str]) -> None:
    (name,) = start
    with pytest.raises(ValueError, match=f"`{name}` must be one of 'identity', 'random'|'zeros'"):
        DOConv2D(4, 3, **start)
    with pytest.raises(ValueError, match=f"`{name}` must be one of"):
        convert(network(), **start)


def test_converting_with_a_random_D_says_that_the_output_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net, x = network(), images()
    with caplog.at_level(logging.WARNING, "doconv"):
        converted = convert(net, D_init="random")
    assert "the output is NOT preserved: D of 4 convolution(s) starts at random" in caplog.text
    assert abs(converted(x).asnumpy() - net(x).asnumpy()).max() > 1e-3
    np.testing.assert_allclose(
        fold(converted)(x).asnumpy(), converted(x).asnumpy(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_converting_with_random_columns_preserves_the_output_to_rounding(inplace: bool) -> None:
    data = mx.sym.var("data")
    graph = mx.sym.Convolution(data, num_filter=3, kernel=(3, 3), pad=(1, 1))
    net, x = nn.HybridSequential(), images()
    net.add(
        mx.gluon.SymbolBlock(graph, data),
        CondConv2D(3, 3, padding=1, in_channels=3, num_experts=2),
        network(initialized=False),
    )
    net.initialize()
    net(x)
    before = net(x).asnumpy()
    net = convert(net, D_mul=22, W_extra_init="random", inplace=inplace)
    np.testing.assert_allclose(net(x).asnumpy(), before, rtol=1e-4, atol=1e-6)
    for name, layer in layers_of(net).items():
        assert layer.W_extra.data().asnumpy()[..., :4].any(), name
        assert not layer.D.data().asnumpy().any(), name


def test_random_columns_need_a_kernel_to_take_them_from() -> None:
    net = network(known=False)
    with pytest.raises(ValueError, match="layer '0': its parameters have no values yet"):
        convert(net, D_mul=12, W_extra_init="random", inplace=True)
    assert not layers_of(net)
    plain = network()
    before = values(plain)
    with pytest.raises(ValueError, match="`W_extra_init`"):
        convert(plain, inplace=True, W_extra_init="yes")
    assert values(plain) == before
