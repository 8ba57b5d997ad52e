"""get_state and set_state: a network's layers in the neutral layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doconv_core import LayerState
from doconv_gluon import DOConv2D, convert, get_state, set_state
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import images, layers_of, network, shared_pair, trained_network


def test_a_state_restores_the_network() -> None:
    first, second, x = trained_network(D_mul=12), convert(network(), D_mul=12), images()
    for name in ("net_batchnorm0_gamma", "net_dense0_weight"):
        value = first.collect_params()[name].data()
        second.collect_params()[name].set_data(value)
    second.collect_params()["net_conv2_weight"].set_data(first[3].weight.data())
    second.collect_params()["net_conv2_bias"].set_data(first[3].bias.data())
    second(x)  # in prediction mode, which leaves oneDNN's layout in the plain layers
    state = get_state(first)
    assert list(state) == ["0", "2", "4", "5"]
    set_state(second, state)
    np.testing.assert_array_equal(second(x).asnumpy(), first(x).asnumpy())


def test_a_state_is_a_copy() -> None:
    net = trained_network()
    state = get_state(net)
    before = state["0"].D.copy()
    net[0].D.set_data(mx.nd.zeros(net[0].D.shape))
    np.testing.assert_array_equal(state["0"].D, before)


def test_shared_layers_have_one_entry_each() -> None:
    net = convert(shared_pair())
    state = get_state(net)
    assert list(state) == ["0", "1"]
    set_state(net, state)


def test_values_are_cast_to_the_network_s_type() -> None:
    net = trained_network()
    state = get_state(net)
    net.cast("float16")
    set_state(net, state)
    assert net[0].D.data().dtype == np.float16
    np.testing.assert_array_equal(net[0].D.data().asnumpy(), state["0"].D.astype(np.float16))


def test_a_layer_in_oneDNN_s_layout_can_be_written() -> None:
    layer = DOConv2D(16, 1, in_channels=16)  # K = 1: its weight goes to the operator itself
    layer.initialize()
    layer(mx.nd.ones((1, 16, 4, 4)))
    state = get_state(layer)[""]
    set_state(layer, {"": LayerState(state.spec, 2 * state.W, None, state.bias)})
    np.testing.assert_array_equal(get_state(layer)[""].W, 2 * state.W)


def test_nothing_is_written_where_the_state_does_not_fit() -> None:
    net = trained_network()
    state, before = get_state(net), get_state(net)
    state["5"] = LayerState(state["5"].spec, 2 * state["5"].W, state["5"].D)  # no bias
    state["0"] = LayerState(state["0"].spec, 2 * state["0"].W, state["0"].D, state["0"].bias)
    with pytest.raises(ValueError, match="the state of layer '5' must fit it"):
        set_state(net, state)
    for name in layers_of(net):
        np.testing.assert_array_equal(get_state(net)[name].W, before[name].W)


def test_a_network_without_values_has_no_state() -> None:
    net = convert(network(known=False))
    with pytest.raises(ValueError, match=r"cannot read the arrays of layer '0': .* run one batch"):
        get_state(net)


def test_gluons_ways_around_a_mismatch_are_as_documented(tmp_path: Path) -> None:
    """They say nothing: D stays as it is, or is dropped."""
    plain, net, x = network(), trained_network(), images()
    plain(x)
    plain.save_parameters(str(tmp_path / "plain"))
    net.save_parameters(str(tmp_path / "unfolded"))
    fresh, D = convert(network()), net[0].D.data().asnumpy()
    fresh.load_parameters(str(tmp_path / "plain"), allow_missing=True)
    np.testing.assert_array_equal(fresh(x).asnumpy(), plain(x).asnumpy())
    net.load_parameters(str(tmp_path / "plain"), allow_missing=True)
    np.testing.assert_array_equal(net[0].D.data().asnumpy(), D)
    with pytest.raises(ValueError, match="not present in ParameterDict"):
        plain.load_parameters(str(tmp_path / "unfolded"))
