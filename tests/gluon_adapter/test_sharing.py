"""Blocks that are used twice, and layers that share a weight."""

from __future__ import annotations

import numpy as np
import pytest

from doconv_gluon import convert, fold
from tests.gluon_adapter.helpers import (
    disturb,
    images,
    layers_of,
    nn,
    shared_pair,
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
