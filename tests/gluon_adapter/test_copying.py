"""A copy of a Gluon model, which ``copy.deepcopy`` alone cannot make."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from doconv_gluon import DOConv2D, convert, fold
from doconv_gluon.layers.copying import copied
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import images, network, nn, sgd, step, values


@pytest.mark.parametrize("way", ["imperative", "hybridized", "static"])
def test_a_copy_computes_the_same_and_trains_on_its_own(way: str) -> None:
    net, x = network(), images()
    if way != "imperative":
        net.hybridize(static_alloc=way == "static", static_shape=way == "static")
    trainer = sgd(net, momentum=0.9)
    step(net, trainer, x)  # a cached graph, gradients and a Trainer, none of which copies itself
    before = values(net)
    new = copied(net)
    np.testing.assert_array_equal(new(x).asnumpy(), net(x).asnumpy())
    assert all(p._trainer is None for p in new.collect_params().values())
    step(new, sgd(new), x)
    assert values(net) == before
    moved = new.collect_params()["net_conv0_weight"].data().asnumpy()
    assert (moved != net.collect_params()["net_conv0_weight"].data().asnumpy()).any()
    del new
    step(net, trainer, x)


@pytest.mark.parametrize("verb", [copied, fold, convert])
def test_a_batch_norm_s_averages_are_those_after_the_last_step(verb: Any) -> None:
    """MXNet waits for no writer of them where a graph has static shapes."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(16, 3, in_channels=3), nn.BatchNorm(in_channels=16), nn.Conv2D(16, 3))
    net.initialize()
    x = mx.nd.ones((8, 3, 32, 32))
    net(x)
    net = convert(net)
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = sgd(net)
    for _ in range(5):
        with mx.autograd.record():
            loss = (net(x) ** 2).mean()
        loss.backward()
        trainer.step(1)
    new = verb(net)
    mx.nd.waitall()
    for name in ("running_mean", "running_var"):
        ours, theirs = (getattr(each[1], name).data().asnumpy() for each in (new, net))
        np.testing.assert_array_equal(ours, theirs)


def test_everything_about_a_parameter_is_copied() -> None:
    net = network(initialized=False)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    weight = net[0].weight
    weight.lr_mult, weight.wd_mult, weight.grad_req = 0.5, 0.25, "add"
    new = copied(net)[0].weight
    assert new.list_ctx() == [mx.cpu(0), mx.cpu(1)]
    for name in ("name", "shape", "dtype", "lr_mult", "wd_mult", "grad_req", "init"):
        assert getattr(new, name) == getattr(weight, name)


def test_parameters_that_wait_for_the_first_input_wait_in_the_copy() -> None:
    net = network(known=False)
    new = copied(net)
    new(images())
    assert net[0].weight._data is None
    net(images())


def test_constants_are_copied() -> None:
    class Net(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.scale = self.params.get_constant("scale", mx.nd.full((1,), 3.0))

        def hybrid_forward(self, F: Any, x: Any, scale: Any) -> Any:
            return F.broadcast_mul(x, scale)

    net = Net()
    net.initialize()
    new = copied(net)
    assert new(mx.nd.ones(2)).asnumpy().tolist() == [3, 3]
    assert new.scale is not net.scale


def test_a_block_that_cannot_be_copied_says_so_and_converts_in_place() -> None:
    net = network()
    net.lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        convert(net)
    assert type(net[0]) is nn.Conv2D
    assert convert(net, inplace=True) is net


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_a_copy_of_a_layer_does_not_follow_it_to_its_parent(hybridized: bool) -> None:
    """Within ``name_scope`` a block's own scope leads to its parent's, and so to everything."""

    class Parent(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()  # what cannot be copied
            with self.name_scope():
                self.body = nn.HybridSequential()
                with self.body.name_scope():
                    self.body.add(DOConv2D(3, 3, in_channels=3), nn.Dense(2))

        def hybrid_forward(self, F: Any, x: Any) -> Any:
            return self.body(x)

    parent, x = Parent(), images()
    parent.initialize()
    parent.hybridize(hybridized)
    step(parent, sgd(parent), x)
    layer = parent.body[0]
    plain = layer.fold()
    assert type(plain) is nn.Conv2D
    np.testing.assert_allclose(plain(x).asnumpy(), layer(x).asnumpy(), rtol=1e-5, atol=1e-6)
    body = copied(parent.body)
    assert body._scope._old_scope is None


def test_a_copy_takes_of_shared_parameters_what_it_uses() -> None:
    first = network()
    second = nn.Conv2D(8, 3, padding=1, in_channels=3, params=first[0].params)
    new = copied(second)
    assert new.params._shared is None
    assert set(new.collect_params()) == set(second.collect_params())
