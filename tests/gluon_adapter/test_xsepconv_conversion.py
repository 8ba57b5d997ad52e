"""convert_depthwise on whole models: what is replaced, what is left and why, and what stays."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from doconv_core import messages
from doconv_gluon import XSepConv2D, convert, convert_depthwise, fold
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.do_conv import DOConvNd
from doconv_gluon.model.walk import blocks_once
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import ConvSame, disturb, nn, sgd, step, values
from tests.star.backends.backend_gluon import ndarray


def images(*size: int) -> Any:
    return ndarray(np.random.default_rng(1).normal(size=(2, 4, *size)).astype(np.float32))


def depthwise(size: int = 5, channels: int = 4, **given: Any) -> Any:
    same = {"padding": size // 2, "groups": channels, "in_channels": channels}
    return nn.Conv2D(channels, size, **{**same, **given})


def network(*, initialized: bool = True) -> Any:
    """Depthwise layers that can be replaced, and some that cannot."""
    inner = nn.HybridSequential(prefix="inner_")
    with inner.name_scope():
        inner.add(depthwise(7, use_bias=False), nn.BatchNorm(in_channels=4))
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(4, 3, padding=1, in_channels=4),
            depthwise(strides=2, activation="relu"),
            depthwise(3),
            inner,
            depthwise(padding=0),
            depthwise(strides=(2, 1), dilation=(1, 2), padding=(2, 4)),
        )
    if initialized:
        net.initialize(mx.init.Xavier())
    return net


def replaced(model: Any) -> dict[str, XSepConv2D]:
    return {n: block for n, block in blocks_once(model).items() if isinstance(block, XSepConv2D)}


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_large_depthwise_layers_are_replaced(inplace: bool) -> None:
    net = network()
    before, blocks = values(net), list(blocks_once(net).values())
    changed = convert_depthwise(net, inplace=inplace, D_mul="K")
    assert (changed is net) == inplace
    found = replaced(changed)
    assert [(name, layer.corner) for name, layer in found.items()] == [
        ("1", 0),
        ("3.0", 1),
        ("5", 2),
    ]
    assert isinstance(found["1"].square, DOConvNd)
    assert found["1"].vertical.act is not None
    assert found["3.0"].vertical.bias is None
    assert found["5"].horizontal._kwargs["dilate"] == (1, 2)
    assert changed(images(33, 26)).shape == network()(images(33, 26)).shape
    assert "net_conv1_square_D" in changed.collect_params()
    if inplace:
        assert all(any(block is layer for block in blocks) for layer in found.values())
    else:
        assert values(net) == before


def test_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        convert_depthwise(network(), where=lambda name, _: name != "3.0")
    assert [record for record in caplog.record_tuples if record[0] == "doconv"] == [
        (
            "doconv",
            logging.INFO,
            "convert_depthwise: 2 of 6 convolutions replaced; "
            f"1 left: {messages.neighbours.NOT_DEPTHWISE}; "
            f"1 left: {messages.neighbours.SMALL_OR_UNEVEN}; "
            f"1 left: {messages.model.NOT_SELECTED}; "
            f"1 left: {messages.neighbours.NOT_SAME_PADDING}",
        ),
        ("doconv", logging.WARNING, messages.neighbours.not_preserving(2)),
    ]


def sequential(*layers: Any) -> Any:
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def tied() -> Any:
    first = depthwise()
    return sequential(first, depthwise(params=first.params))


def symbols() -> Any:
    data = mx.sym.var("data")
    graph = mx.sym.Convolution(
        data, kernel=(5, 5), pad=(2, 2), num_filter=4, num_group=4, no_bias=True
    )
    return sequential(mx.gluon.SymbolBlock(graph, data))


LEFT: dict[str, tuple[Callable[[], Any], str]] = {
    "over-parameterized": (
        lambda: convert(sequential(depthwise())),
        messages.neighbours.FOLD_FIRST,
    ),
    "tied": (tied, messages.neighbours.TIED),
    "subclass": (
        lambda: sequential(ConvSame(4, 5, padding=2, groups=4, in_channels=4)),
        messages.model.OWN_FORWARD,
    ),
    "unknown channels": (
        lambda: sequential(depthwise(in_channels=0)),
        messages.model.NO_VALUES_YET,
    ),
    "channels last": (lambda: sequential(depthwise(layout="NHWC")), gluon_messages.CHANNELS_LAST),
    "transposed": (
        lambda: nn.Conv2DTranspose(4, 5, padding=2, groups=4, in_channels=4),
        messages.neighbours.NOT_DEPTHWISE,
    ),
    "symbol": (symbols, gluon_messages.IN_SYMBOL_BLOCK),
}


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
@pytest.mark.parametrize(("build", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_is_left(build: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model = build()
    with (
        caplog.at_level(logging.INFO, "doconv"),
        pytest.warns(UserWarning, match=re.escape(messages.neighbours.NOTHING_REPLACED)),
    ):
        convert_depthwise(model, inplace=True)
    assert not replaced(model)
    assert f"left: {reason}" in caplog.text


def test_a_layer_used_twice_becomes_one() -> None:
    conv = depthwise()
    changed = convert_depthwise(
        sequential(conv, sequential(conv)), where=lambda name, _: name == "1.0"
    )
    assert changed[0] is changed[1][0]
    assert isinstance(changed[0], XSepConv2D)


def test_the_corners_go_on_and_twice_is_once() -> None:
    model = sequential(*(depthwise() for _ in range(6)))
    model.initialize()
    convert_depthwise(model, where=lambda name, _: int(name) % 2 == 0, inplace=True)
    convert_depthwise(model, inplace=True)
    assert [layer.corner for layer in model] == [0, 3, 1, 0, 2, 1]
    before = values(model)
    assert values(convert_depthwise(model, inplace=True)) == before


def test_in_place_the_block_itself_its_hooks_and_its_type_stay() -> None:
    conv, calls = depthwise(), []
    conv.cast("float64")
    conv.initialize()
    conv.register_forward_hook(lambda *_: calls.append(1))
    assert convert_depthwise(conv, inplace=True) is conv
    assert type(conv) is XSepConv2D
    assert conv(images(9, 8).astype("float64")).dtype == np.float64
    assert calls == [1]
    fresh = XSepConv2D(4, 5)
    assert vars(conv).keys() == vars(fresh).keys()


def test_before_initialize_it_waits_for_that() -> None:
    net = convert_depthwise(network(initialized=False), D_mul="K")
    assert net[1].square.weight._data is None
    net.initialize()
    assert net(images(33, 26)).shape[0] == 2


def test_the_weight_s_own_initializer_is_kept() -> None:
    conv = depthwise(weight_initializer="ones")
    conv.initialize()
    assert (convert_depthwise(conv).vertical.weight.data().asnumpy() == 1).all()


def test_an_error_leaves_the_model_as_it_was() -> None:
    net = network()
    before = values(net)
    with pytest.raises(ValueError, match=re.escape(messages.layer.D_mul_too_small(5, (1, 7), 7))):
        convert_depthwise(net, D_mul=5, inplace=True)
    assert values(net) == before


def test_refusals() -> None:
    with pytest.raises(TypeError, match="`model` must be"):
        convert_depthwise("model")
    net = network()
    sgd(net)
    with pytest.raises(
        ValueError, match=re.escape(messages.neighbours.replaced_too_late("1", "trainer"))
    ):
        convert_depthwise(net, inplace=True)
    convert_depthwise(net)  # a copy has no Trainer


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_a_hybridized_model_trains_and_folds(inplace: bool) -> None:
    net = network()
    net.hybridize()
    x = images(33, 26)
    plain = net(x).asnumpy()
    net = convert_depthwise(net, inplace=inplace, D_mul="K")
    assert not np.allclose(net(x).asnumpy(), plain)
    disturb(net)
    before = {name: p.data().asnumpy() for name, p in net.collect_params(".*square.*").items()}
    step(net, sgd(net), x)
    for name, parameter in net.collect_params(".*square.*").items():
        assert not np.array_equal(parameter.data().asnumpy(), before[name]), name
    y = net(x).asnumpy()
    np.testing.assert_allclose(fold(net)(x).asnumpy(), y, rtol=1e-3, atol=1e-5 * abs(y).max())
