"""convert, fold, summary and state on Gluon models with CondConv layers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import CondConvSpec, messages
from doconv_core.checkpoint import load, save
from doconv_gluon import (
    CondConv2D,
    DOConv2D,
    Routing,
    convert,
    fold,
    get_state,
    set_state,
    summary,
)
from doconv_gluon import messages as gluon_messages
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.condconv import images, trained
from tests.gluon_adapter.helpers import nn, sgd, step, values
from tests.star.backends.backend_gluon import ndarray

hybrid = pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])


class Own(CondConv2D):
    """A subclass, whose forward may compute anything."""


def network(D_mul: int | str | None = None, *, known: bool = True) -> Any:
    """A plain convolution, CondConv layers of every grouping, and a 1x1 one."""

    def after(channels: int) -> dict[str, int]:
        return {"in_channels": channels if known else 0}

    net = nn.HybridSequential(prefix="net_")
    given = {"num_experts": 3, "D_mul": D_mul}
    with net.name_scope():
        net.add(
            nn.Conv2D(8, 3, padding=1, **after(3)),
            CondConv2D(8, 3, padding=1, groups=8, use_bias=False, **given, **after(8)),
            nn.Activation("relu"),
            CondConv2D(12, 1, num_experts=3, **after(8)),
            CondConv2D(6, 3, strides=2, groups=2, **given, **after(12)),
        )
    return net


@hybrid
def test_convert_gives_every_expert_a_D_and_changes_no_bit(
    hybridized: bool, caplog: pytest.LogCaptureFixture
) -> None:
    net, x = trained(network()), images(3)
    net.hybridize(hybridized)
    expected, before = net(x).asnumpy(), values(net)
    with caplog.at_level(logging.INFO, "doconv"):
        converted = convert(net, D_mul=11)
    assert caplog.messages == [
        f"convert: 3 of 4 convolutions over-parameterized; 1 left: {messages.model.POINTWISE}"
    ]
    assert values(net) == before
    np.testing.assert_array_equal(converted(x).asnumpy(), expected)
    assert type(converted[0]) is DOConv2D
    assert converted[1].spec == CondConvSpec(8, 8, (3, 3), 8, 3, 11)
    assert converted[3].D is None
    assert converted[4].D.shape == (3, 12, 9, 11)
    assert converted[4].D.name == "net_condconv2d2_D"
    assert converted[1].W_extra.data().asnumpy().any()
    assert values(convert(converted, inplace=True)) == values(converted)


@hybrid
def test_convert_before_the_first_input(hybridized: bool) -> None:
    results, x = [], images(3)
    for wait in (False, True):
        net = network(known=not wait)
        net.initialize(mx.init.Xavier())
        if not wait:
            net(x)
        net = convert(net, D_mul=11)
        net.hybridize(hybridized)
        net(x)
        results.append(trained(net)(x).asnumpy())
        assert net[4].W_extra.shape == (3, 6, 6, 2)
    np.testing.assert_array_equal(*results)


def test_convert_in_place_keeps_weights_and_the_trainer_trains_D() -> None:
    net, x = trained(network()), images(3)
    trainer, weight = sgd(net), net[4].weight
    step(net, trainer, x)
    convert(net, inplace=True, trainer=trainer, where=lambda name, _: name == "4")
    assert net[4].weight is weight
    assert net[1].D is None
    step(net, trainer, x)
    assert net[4].D.data().asnumpy().any()


@hybrid
def test_fold_gives_plain_condconv_and_twice_is_once(hybridized: bool) -> None:
    net, x, plain = trained(network("K")), images(3), network()
    net.hybridize(hybridized)
    expected = net(x).asnumpy()
    folded = fold(net)
    assert [type(layer) for layer in folded] == [type(layer) for layer in plain]
    assert list(folded._collect_params_with_prefix()) == list(plain._collect_params_with_prefix())
    np.testing.assert_allclose(folded(x).asnumpy(), expected, rtol=1e-4, atol=1e-4)
    assert net[4].D is not None
    weight = net[4].weight
    fold(net, inplace=True)
    assert net[4].weight is weight
    assert net[4].spec == CondConvSpec(12, 6, (3, 3), 2, 3)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-4)
    assert values(fold(net, inplace=True)) == values(net)
    assert sorted(vars(net[4])) == sorted(vars(plain[4]))
    copied = net[1].fold()
    assert copied is not net[1]
    np.testing.assert_array_equal(copied.weight.data().asnumpy(), net[1].weight.data().asnumpy())
    again = convert(net)
    np.testing.assert_array_equal(again(x).asnumpy(), net(x).asnumpy())


@pytest.mark.parametrize("array", ["weight", "D"])
def test_what_is_not_finite_leaves_the_model_as_it_was(array: str) -> None:
    net = trained(network("K"))
    parameter = getattr(net[4], array)
    parameter.set_data(np.full(parameter.shape, np.inf))
    before = str(values(net))
    with pytest.raises(ValueError, match="cannot fold layer '4'"):
        fold(net, inplace=True)
    assert str(values(net)) == before


def test_what_has_no_values_yet_cannot_be_folded_or_read() -> None:
    with pytest.raises(ValueError, match=messages.model.NO_VALUES_YET):
        fold(network("K"))
    with pytest.raises(ValueError, match=messages.model.NO_VALUES_YET):
        get_state(CondConv2D(4, 3, in_channels=4))
    routed = CondConv2D(4, 3, in_channels=4)
    routed.weight.initialize()
    routed.bias.initialize()
    with pytest.raises(ValueError, match=messages.model.NO_VALUES_YET):  # of its routing
        get_state(routed)
    assert fold(network())[1].D is None


def test_sharing_is_kept() -> None:
    layer = CondConv2D(4, 3, padding=1, in_channels=4)
    twin = CondConv2D(4, 3, padding=1, in_channels=4, routing=False, params=layer.params)
    net = nn.Sequential()
    net.add(layer, layer, twin)
    converted = convert(trained(net))
    assert converted[0] is converted[1]
    assert converted[2].D is converted[0].D
    folded = fold(trained(converted))
    assert folded[2].weight is folded[0].weight
    assert folded[2].D is None


def with_its_twin(layer: Any) -> Any:
    net = nn.Sequential()
    net.add(layer, CondConv2D(4, 3, in_channels=4, params=layer.collect_params()))
    return trained(net)


@pytest.mark.filterwarnings("ignore:convert.. found no convolution")
def test_a_weight_that_a_plain_layer_has_too_is_neither_converted_nor_folded() -> None:
    net = with_its_twin(CondConv2D(4, 3, in_channels=4))
    converted = convert(net, where=lambda name, _: name == "1")
    assert (converted[0].D, converted[1].D) == (None, None)
    net = with_its_twin(CondConv2D(4, 3, in_channels=4, D_mul="K"))
    with pytest.raises(ValueError, match=f"cannot fold layer '0'.*{gluon_messages.SHARED_WEIGHT}"):
        fold(net)


def own_forward(layer: Any) -> Any:
    layer.hybrid_forward = layer.hybrid_forward
    return layer


def with_more(layer: Any) -> Any:
    layer.scale = layer.params.get("scale", shape=(1,))
    return layer


def as_integers(layer: Any) -> Any:
    layer.weight.cast("int32")
    return layer


LEFT = {
    "pointwise": (lambda: CondConv2D(4, 1, in_channels=4), messages.model.POINTWISE),
    "subclass": (lambda: Own(4, 3, in_channels=4), messages.model.OWN_FORWARD),
    "instance": (
        lambda: own_forward(CondConv2D(4, 3, in_channels=4)),
        messages.model.INSTANCE_FORWARD,
    ),
    "more": (lambda: with_more(CondConv2D(4, 3, in_channels=4)), messages.model.OTHER_ARRAYS),
    "integers": (lambda: as_integers(CondConv2D(4, 3, in_channels=4)), messages.model.NOT_FLOATING),
}


@pytest.mark.parametrize(("build", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_cannot_be_converted_is_left_with_the_reason(build: Any, reason: str) -> None:
    net = nn.Sequential()
    net.add(nn.Conv2D(4, 3, in_channels=4), build())
    converted = convert(net, inplace=True)
    assert converted[1].D is None
    assert summary(converted)[1].reason == reason
    if reason != messages.model.POINTWISE:
        with pytest.raises(ValueError, match="cannot over-parameterize the layer"):
            convert(net[1])


def test_a_subclass_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match=messages.model.OWN_FORWARD):
        trained(Own(4, 3, in_channels=4, D_mul="K")).fold()


# --- summary -----------------------------------------------------------------------------


def test_summary_counts_the_layers() -> None:
    """Parameters are the blocks' own; MACs are those of mixing kernels, counted by hand."""
    trained_net = trained(network("K"))
    nets = [network(), trained_net, fold(trained_net)]
    rows = summary(trained_net, images(3, batch=2, size=8))
    assert [(row.name, row.kind, row.K, row.S, row.reason) for row in rows] == [
        ("0", "Conv2D", 9, None, messages.model.CONVERTIBLE),
        ("1", "DO-CondConv", 9, 9, ""),
        ("3", "CondConv", 1, None, messages.model.POINTWISE),
        ("4", "DO-CondConv", 9, 9, ""),
    ]
    for row in rows:
        layers = [net[int(row.name)] for net in nets]
        counts = [
            sum(np.prod(p.shape) for p in layer.collect_params().values()) for layer in layers
        ]
        assert row.parameters == tuple(counts)
    kernel, positions, experts = 6 * 6 * 9, 3 * 3, 3
    plain = 2 * (kernel * positions + experts * (kernel + 6 + 12))
    assert rows[3].macs == (plain, plain + experts * kernel * 9, plain)
    assert summary(network())[1].reason == messages.model.CONVERTIBLE
    assert summary(CondConv2D(4, 3))[0].parameters is None  # its sizes are not known


# --- state -------------------------------------------------------------------------------


def test_state_goes_through_a_file_to_another_model(tmp_path: Path) -> None:
    def build() -> Any:
        return convert(trained(network()), D_mul=11, where=lambda name, _: name != "4")

    net, x = trained(build(), seed=5), images(3)
    state = get_state(net)
    sizes = {name: (layer.spec.S, layer.D is None) for name, layer in state.items()}
    assert sizes == {"0": (11, False), "1": (11, False), "3": (1, True), "4": (9, True)}
    save(tmp_path / "file", state)
    other = build()
    set_state(other, load(tmp_path / "file"))
    np.testing.assert_array_equal(other(x).asnumpy(), net(x).asnumpy())


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    net = trained(network("K"))
    state, before = get_state(net), values(net)
    routed = CondConv2D(
        8, 3, groups=8, num_experts=3, use_bias=False, routing=False, in_channels=8, D_mul="K"
    )
    with pytest.raises(ValueError, match="state_routing=False"):
        set_state(net, {**state, "1": get_state(trained(routed))[""]})
    with pytest.raises(ValueError, match="the state of layer '4' must fit it"):
        set_state(net, {**state, "4": get_state(trained(network()[4]))[""]})
    assert values(net) == before


class FirstExpert(mx.gluon.HybridBlock):
    """A routing of the user's own."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.one_hot(F.zeros_like(F.mean(x, axis=0, exclude=True)), depth=3)


@hybrid
def test_a_routing_of_the_user_s_own_is_not_part_of_the_state(hybridized: bool) -> None:
    layer = trained(CondConv2D(6, 3, in_channels=4, num_experts=3, routing=False))
    layer.routing = FirstExpert()
    layer.hybridize(hybridized)
    assert get_state(layer)[""].routing is None
    conv, x = nn.Conv2D(6, 3, in_channels=4), images(4)
    conv.initialize()
    conv.weight.set_data(ndarray(layer.weight.data().asnumpy()[0]))
    conv.bias.set_data(ndarray(layer.bias.data().asnumpy()[0]))
    np.testing.assert_allclose(layer(x).asnumpy(), conv(x).asnumpy(), rtol=1e-4, atol=1e-4)
    assert not isinstance(layer.routing, Routing)
