"""Blocks that are used twice, and layers that share a weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doconv_gluon import convert, fold
from doconv_gluon.model_zoo import get_model
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import (
    disturb,
    images,
    layers_of,
    nn,
    shared_pair,
    values,
)


def test_a_block_used_twice_is_converted_once() -> None:
    conv, net = nn.Conv2D(3, 3, padding=1, in_channels=3), nn.HybridSequential()
    net.add(conv, nn.Activation("relu"), conv)
    net.initialize()
    x = images()
    before = net(x).asnumpy()
    copied = convert(net)
    assert copied[0] is copied[2] is not conv
    assert list(layers_of(copied)) == ["0"]
    np.testing.assert_array_equal(copied(x).asnumpy(), before)
    plain = fold(disturb(copied))
    assert plain[0] is plain[2]


def test_layers_that_share_a_weight_share_its_D() -> None:
    net, x = shared_pair(), images()
    assert net[0].weight is net[1].weight
    converted = convert(net)
    assert converted[0].D is converted[1].D
    assert converted[0].weight is converted[1].weight is not net[0].weight
    assert len(list(converted.collect_params())) == 2
    disturb(converted)
    plain = fold(converted)
    assert plain[0].weight is plain[1].weight
    np.testing.assert_allclose(plain(x).asnumpy(), converted(x).asnumpy(), rtol=1e-5, atol=1e-5)


def test_a_weight_is_not_split_between_a_plain_layer_and_a_converted_one() -> None:
    net = shared_pair()
    with pytest.warns(UserWarning, match="found no convolution"):
        assert not layers_of(convert(net, where=lambda name, layer: name == "0"))


# --- between networks: params= -------------------------------------------------------------


def pair(**given: Any) -> Any:
    net = nn.HybridSequential(prefix="net_", **given)
    with net.name_scope():
        net.add(nn.Conv2D(4, 3, in_channels=3), nn.Conv2D(4, 3, in_channels=4))
    return net


def first_and_second(**options: Any) -> tuple[Any, Any]:
    first = pair()
    first.initialize()
    disturb(convert(first, inplace=True, **options))
    return first, pair(params=first.collect_params())


def test_a_network_that_shares_its_weights_with_a_converted_one_shares_D() -> None:
    (first, second), x = first_and_second(), images()
    convert(second, inplace=True)
    assert [layer.D for layer in second] == [layer.D for layer in first]
    np.testing.assert_array_equal(second(x).asnumpy(), first(x).asnumpy())
    assert list(second.collect_params()) == list(first.collect_params())


def test_so_do_networks_of_the_zoo() -> None:
    """As in GluonCV's examples: one network for training, one for evaluation."""
    first = get_model("mobilenet0.25", classes=5, prefix="net_")
    first.initialize()
    x = mx.nd.ones((1, 3, 32, 32))
    first(x)
    disturb(first)
    second = get_model("mobilenet0.25", classes=5, prefix="net_", params=first.collect_params())
    np.testing.assert_array_equal(second(x).asnumpy(), first(x).asnumpy())


def test_another_number_of_columns_is_an_error_that_changes_nothing() -> None:
    _, second = first_and_second()
    with pytest.raises(ValueError, match=r"layer '0' shares its weight.*D_mul=12, other=9"):
        convert(second, inplace=True, D_mul=12)
    assert not layers_of(second)


def test_a_copy_shares_with_nobody() -> None:
    first, second = first_and_second()
    copied = convert(second)
    assert copied[0].D is not first[0].D
    assert copied[0].weight is not first[0].weight


def test_a_network_whose_partner_stays_plain_is_warned_about() -> None:
    first = pair()
    first.initialize()
    second = pair(params=first.collect_params())
    with pytest.warns(UserWarning, match=r"2 converted layer\(s\) share their weight with another"):
        convert(second, inplace=True)
    convert(first, inplace=True)
    assert first[0].D is second[0].D


def test_folding_one_of_two_in_place_is_refused_while_the_other_is_there() -> None:
    first, second = first_and_second()
    convert(second, inplace=True)
    before = values(first)
    with pytest.raises(ValueError, match=r"cannot fold layer '0'.*outside of this model"):
        fold(first, inplace=True)
    assert values(first) == before
    assert not layers_of(fold(first))
    del second
    fold(first, inplace=True)


def test_a_deleted_network_has_no_say() -> None:
    (first, second), x = first_and_second(), images()
    expected = second(x).asnumpy()
    del first
    np.testing.assert_array_equal(convert(second, inplace=True)(x).asnumpy(), expected)
