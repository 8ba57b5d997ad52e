"""convert: a network computes what it did, to the bit, and stays the network it was."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import DOConv2D, convert, fold
from doconv_gluon.layers.hosts import HOSTS
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import (
    CLASSES,
    IDS,
    disturb,
    images,
    in_child,
    layers_of,
    network,
    nn,
    sgd,
    step,
    values,
)

CONVERTED = ["0", "2", "4", "5"]
"""Of helpers.network; 3 is a 1x1 convolution."""


@pytest.mark.parametrize("D_mul", [None, 12], ids=["D_mul=K", "D_mul=12"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("known", [False, True], ids=["deferred", "known"])
@pytest.mark.parametrize("way", ["imperative", "hybridized", "static"])
def test_the_output_does_not_change(
    way: str, known: bool, inplace: bool, D_mul: int | None
) -> None:
    net, x = network(known=known), images()
    if way != "imperative":
        net.hybridize(static_alloc=way == "static", static_shape=way == "static")
    before = net(x).asnumpy()
    converted = convert(net, inplace=inplace, D_mul=D_mul)
    assert (converted is net) == inplace
    assert list(layers_of(converted)) == CONVERTED
    np.testing.assert_array_equal(converted(x).asnumpy(), before)
    if way != "imperative":  # the graph that was traced before must be gone
        assert converted._active
        disturb(converted)
        assert (converted(x).asnumpy() != before).any()


def test_a_hybridized_child_is_traced_again() -> None:
    net, x = network(), images()
    net[0].hybridize()
    before = net(x).asnumpy()
    disturb(convert(net, inplace=True))
    assert (net(x).asnumpy() != before).any()


def test_converting_keeps_every_parameter_object_and_name() -> None:
    net = network()
    before = dict(net.collect_params().items())
    convert(net, inplace=True)
    after = net.collect_params()
    assert {name: after[name] for name in before} == before
    new = sorted(set(after.keys()) - before.keys())
    assert new == ["net_conv0_D", "net_conv1_D", "net_conv3_D", "net_conv4_D"]


def test_a_network_not_yet_initialized_is_converted() -> None:
    net, plain, x = network(known=False, initialized=False), network(known=False), images()
    convert(net, inplace=True)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    plain.initialize(mx.init.Xavier(), force_reinit=True)
    net(x)
    for name, parameter in plain.collect_params().items():
        if parameter._deferred_init:
            continue
        parameter.set_data(net.collect_params()[name].data())
    plain(x)
    for name, parameter in plain.collect_params().items():
        parameter.set_data(net.collect_params()[name].data())
    np.testing.assert_array_equal(net(x).asnumpy(), plain(x).asnumpy())


@pytest.mark.parametrize("D_mul", [None, 12], ids=["D_mul=K", "D_mul=12"])
def test_a_network_that_waits_for_its_first_input_is_converted(D_mul: int | None) -> None:
    net, x = network(known=False), images()
    convert(net, inplace=True, D_mul=D_mul)
    net(x)
    assert all(p._data is not None for p in net.collect_params().values())
    trainer = sgd(net)
    step(net, trainer, x)
    assert all(layer.D.data().asnumpy().any() for layer in layers_of(net).values())


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_training_goes_on_with_D(inplace: bool) -> None:
    net, x = network(), images()
    converted = convert(net, inplace=inplace)
    trainer = sgd(converted)
    for _ in range(2):
        step(converted, trainer, x)
    for layer in layers_of(converted).values():
        assert layer.D.data().asnumpy().any()


def test_converting_twice_changes_nothing() -> None:
    net = disturb(convert(network()))
    before = values(net)
    assert convert(net, inplace=True) is net
    assert values(net) == before


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (lambda name, layer: name == "0", ["0"]),
        (lambda name, layer: isinstance(layer, nn.Conv2DTranspose), ["5"]),
        (lambda name, layer: layer._channels < 8, ["4", "5"]),
    ],
    ids=["by-name", "by-type", "by-size"],
)
def test_where_picks_layers(where: Any, expected: list[str]) -> None:
    assert list(layers_of(convert(network(), where=where))) == expected


@pytest.mark.parametrize(("ours", "host"), CLASSES, ids=IDS)
def test_the_root_may_be_a_convolution(ours: type, host: type) -> None:
    conv = host(4, 3, in_channels=2)
    conv.initialize()
    layer = convert(conv)
    assert type(layer) is ours
    assert type(conv) is host
    assert convert(conv, inplace=True) is conv
    assert type(conv) is ours


def test_every_attribute_that_holds_a_block_goes_on_holding_it() -> None:
    class Net(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(4, 3, in_channels=3)
            self.stages = [self.conv]
            self.by_name = {"first": self.conv}

        def hybrid_forward(self, F: Any, x: Any) -> Any:
            return self.stages[0](x)

    for inplace in (False, True):
        net = Net()
        net.initialize()
        net = disturb(convert(net, inplace=inplace))
        assert type(net.conv) is DOConv2D
        assert net._children["conv"] is net.stages[0] is net.by_name["first"] is net.conv
        x = images()
        np.testing.assert_array_equal(net(x).asnumpy(), net.conv(x).asnumpy())


# --- what D is like ------------------------------------------------------------------------


def test_D_follows_its_weight() -> None:
    net = network()
    weight = net[0].weight
    weight.grad_req, weight.lr_mult, weight.wd_mult = "null", 0.5, 0.25
    convert(net, inplace=True, D_mul=10)
    for parameter in (net[0].D, net[0].W_extra):
        assert (parameter.grad_req, parameter.lr_mult, parameter.wd_mult) == ("null", 0.5, 0.25)
    assert net[2].D.grad_req == "write"


def test_D_has_the_type_and_the_devices_of_its_weight() -> None:
    devices = [mx.cpu(0), mx.cpu(1)]
    net = network(initialized=False)
    net.initialize(ctx=devices)
    net.cast("float64")
    convert(net, inplace=True)
    assert net[0].D.list_ctx() == devices
    assert {array.dtype for array in net[0].D.list_data()} == {np.dtype(np.float64).type}
    assert all(not array.asnumpy().any() for array in net[0].D.list_data())


def test_hooks_and_flags_stay() -> None:
    net, seen = network(), []
    net[0].register_forward_hook(lambda block, given, output: seen.append(type(block).__name__))
    for model in (convert(net), convert(net, inplace=True)):
        model(images())
    assert seen == ["DOConv2D", "DOConv2D"]


def test_the_log_says_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        fold(convert(network(), where=lambda name, layer: name != "4"))
    assert [record.getMessage() for record in caplog.records] == [
        "convert: 3 of 5 convolutions over-parameterized"
        "; 1 left: one kernel element has nothing to over-parameterize"
        "; 1 left: not selected by `where`",
        "fold: 3 convolutions folded",
    ]


def test_nothing_is_printed() -> None:
    code = (
        "from doconv_gluon import convert, fold\nfrom mxnet.gluon import nn\n"
        "conv = nn.Conv2D(4, 3, in_channels=3)\nconv.initialize()\nfold(convert(conv))"
    )
    assert in_child(code) == ""


# --- subclasses ----------------------------------------------------------------------------


class Conv3x3(nn.Conv2D):
    """A subclass with a constructor of its own, and a helper; its forward is the host's."""

    def __init__(self, channels: int, **given: Any) -> None:
        super().__init__(channels, 3, padding=1, **given)
        self.made_by = "Conv3x3"

    def fan(self) -> int:
        return int(np.prod(self.weight.shape[1:]))


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_a_subclass_with_its_host_s_forward_is_converted_and_comes_back(
    hybridized: bool, inplace: bool, tmp_path: Path
) -> None:
    plain = nn.HybridSequential(prefix="net_")
    plain.add(Conv3x3(4, in_channels=3), nn.Conv2D(4, 3, in_channels=4))
    plain.initialize()
    plain.hybridize(hybridized)
    x, path = images(), str(tmp_path / "net.params")
    before = plain(x).asnumpy()
    net = convert(plain, inplace=inplace)
    np.testing.assert_array_equal(net(x).asnumpy(), before)
    layer = net[0]
    assert isinstance(layer, Conv3x3)
    assert isinstance(layer, DOConv2D)
    assert type(layer).__name__ == "DOConv3x3"
    assert (layer.made_by, layer.fan()) == ("Conv3x3", 27)
    assert type(convert(Conv3x3(2, in_channels=2))) is type(layer)
    step(net, sgd(net), x)
    expected = disturb(net)(x).asnumpy()
    folded = fold(net, inplace=inplace)
    assert type(folded[0]) is Conv3x3
    assert type(net[0].fold() if not inplace else folded[0]) is Conv3x3
    np.testing.assert_allclose(folded(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    folded.save_parameters(path)
    folded.load_parameters(path)


def test_a_subclass_does_not_become_a_host() -> None:
    convert(Conv3x3(2, in_channels=2))
    assert set(HOSTS) == {host for _, host in CLASSES}
