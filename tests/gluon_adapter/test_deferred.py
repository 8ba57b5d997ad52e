"""Input channels that the first input tells, and what the new arrays hold then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core.kernel.spec import DOConvSpec
from doconv_gluon import CondConv2D, DOConv2D, DOConv2DTranspose, convert
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import nn
from tests.star.backends.backend_gluon import ndarray

WAYS = {
    "imperative": lambda net: None,
    "hybridized-alone": lambda net: net[1].hybridize(),
    "hybridized-parent": lambda net: net.hybridize(),
    "static": lambda net: net.hybridize(static_alloc=True, static_shape=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul=20"])
@pytest.mark.parametrize(
    ("cls", "groups"),
    [(DOConv2D, 1), (DOConv2D, 2), (DOConv2D, 4), (DOConv2DTranspose, 1)],
    ids=["conv", "grouped", "depthwise", "transposed"],  # the host cannot defer a grouped one
)
def test_the_first_input_tells_the_input_channels(
    cls: type, groups: int, D_mul: int | None, way: str
) -> None:
    def build(in_channels: int) -> Any:
        net = nn.HybridSequential()
        net.add(
            nn.Conv2D(4, 1, in_channels=3),
            cls(8, 3, groups=groups, D_mul=D_mul, in_channels=in_channels),
        )
        net.initialize(mx.init.One())
        WAYS[way](net)
        return net

    x = ndarray(np.random.default_rng(0).integers(-3, 4, (2, 3, 6, 6)).astype(np.float32))
    results = []
    for net in (build(0), build(4)):
        with mx.autograd.record():
            y = net(x)
        y.backward()
        layer = net[1]
        assert layer.spec == DOConvSpec(4, 8, (3, 3), groups, D_mul, cls is DOConv2DTranspose)
        parameters = layer.params.values()
        results.append([y.asnumpy(), *(p.grad().asnumpy() for p in parameters)])
        assert results[-1][-1].any()
    for waited, told in zip(*results, strict=True):
        np.testing.assert_array_equal(waited, told)


class WithIdleHead(nn.HybridBlock):
    def __init__(self) -> None:
        super().__init__()
        with self.name_scope():
            self.body, self.head = nn.Conv2D(8, 3), nn.Dense(3)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.body(x)


@pytest.mark.filterwarnings("ignore:Parameter .* is not used by any computation")  # MXNet's
def test_what_nobody_calls_need_not_know_its_shape() -> None:
    net, x = WithIdleHead(), ndarray(np.ones((2, 3, 8, 8), np.float32))
    net.initialize()
    expected = net(x).asnumpy()
    net = convert(net)
    net.hybridize()
    np.testing.assert_array_equal(net(x).asnumpy(), expected)
    assert net.head.weight._data is None


def test_sizes_that_are_not_known_yet_are_an_error_to_ask_for() -> None:
    with pytest.raises(ValueError, match="initialize the model and run one batch first"):
        _ = DOConv2D(8, 3).spec


@pytest.mark.parametrize("own", [None, "normal", mx.init.Normal(2.0)], ids=["net", "str", "object"])
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_columns_without_identity_are_drawn_like_the_weight(cls: type, own: Any) -> None:
    layer = cls(64, 3, D_mul=9 + 9 + 4, weight_initializer=own, in_channels=32)
    layer.initialize(mx.init.Xavier())
    extra, weight = layer.W_extra.data().asnumpy(), layer.weight.data().asnumpy()
    assert not extra[..., :9].any()
    assert 0.8 < extra[..., 9:].std() / weight.std() < 1.25
    assert not layer.D.data().asnumpy().any()


def test_pointwise_layers_have_no_D() -> None:
    layer = DOConv2D(6, 1, in_channels=4, D_mul=5)
    assert layer.D is None
    assert layer.W_extra is None
    assert set(layer.collect_params()) == {layer.prefix + "weight", layer.prefix + "bias"}


# --- graphs that are traced anew -----------------------------------------------------------


def waiting(convert_it: bool, **options: Any) -> Any:
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(4, 3, padding=1),
            nn.Conv2DTranspose(6, 2, strides=2),
            CondConv2D(4, 3, padding=1),
            nn.Dense(3),
        )
    net.initialize()
    return convert(net, inplace=True, **options) if convert_it else net


@pytest.mark.parametrize("traced_before", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul=20"])
def test_a_new_head_that_waits_is_traced_with_a_converted_network(
    D_mul: int | None, traced_before: bool
) -> None:
    net, x = waiting(True, D_mul=D_mul), ndarray(np.ones((2, 3, 6, 6), np.float32))
    net.hybridize(traced_before)
    expected = net(x).asnumpy()
    outer = nn.HybridSequential()
    outer.add(net, nn.Dense(5))
    outer[1].initialize()
    outer.hybridize()
    assert outer(x).shape == (2, 5)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul=20"])
def test_a_plain_checkpoint_is_loaded_while_D_waits(
    D_mul: int | None, hybridized: bool, tmp_path: Path
) -> None:
    path, x = str(tmp_path / "net.params"), ndarray(np.ones((2, 3, 6, 6), np.float32))
    plain = waiting(False)
    expected = plain(x).asnumpy()
    plain.save_parameters(path)
    net = waiting(True, D_mul=D_mul)
    net.hybridize(hybridized)
    with pytest.raises(AssertionError, match=r"'0\.D' is missing"):
        net.load_parameters(path)  # strict; MXNet asks no block
    net.load_parameters(path, allow_missing=True)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    assert net[0].D.shape == (3, 9, 20 if D_mul else 9)
