"""A Trainer that was built before conversion."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from doconv_gluon import convert
from doconv_gluon._compat import mx
from tests.gluon_adapter.helpers import images, layers_of, network, sgd, shared_pair, step

OPTIMIZERS = {
    "sgd": {"learning_rate": 1e-2},
    "momentum": {"learning_rate": 1e-2, "momentum": 0.9},
    "adam": {"learning_rate": 1e-2},
}


def trainer_of(net, name: str, **options):
    kind = "adam" if name == "adam" else "sgd"
    return mx.gluon.Trainer(net.collect_params(), kind, OPTIMIZERS[name], **options)


@pytest.mark.parametrize(
    ("devices", "update_on_kvstore"),
    [(1, None), (1, False), (2, None), (2, True), (2, False)],  # one device has no kvstore
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_given_D_and_goes_on(name: str, devices: int, update_on_kvstore: bool | None) -> None:
    """As a Trainer built on the converted network from the start, to the bit."""
    results = []
    for late in (False, True):
        mx.random.seed(0)
        net = network(initialized=False)
        contexts = [mx.cpu(i) for i in range(devices)]
        net.initialize(mx.init.Xavier(), ctx=contexts)
        batches = [images().as_in_context(ctx) for ctx in contexts]
        if not late:
            convert(net, inplace=True)
        trainer = trainer_of(net, name, update_on_kvstore=update_on_kvstore)
        if late:
            convert(net, inplace=True, trainer=trainer)
        for _ in range(3):
            with mx.autograd.record():
                losses = [(net(batch) ** 2).sum() for batch in batches]
            mx.autograd.backward(losses)
            trainer.step(1)
        results.append([p.data(contexts[-1]).asnumpy() for p in net.collect_params().values()])
    for early, late in zip(*results, strict=True):
        np.testing.assert_array_equal(early, late)


def test_in_the_middle_of_training_the_momentum_stays() -> None:
    net, x = network(), images()
    trainer = sgd(net, momentum=0.9)
    step(net, trainer, x)
    index = trainer._param2idx[net[0].weight.name]
    before = trainer._updaters[0].states[index].asnumpy().copy()
    convert(net, inplace=True, trainer=trainer)
    np.testing.assert_array_equal(trainer._updaters[0].states[index].asnumpy(), before)
    step(net, trainer, x)
    assert all(layer.D.data().asnumpy().any() for layer in layers_of(net).values())


def test_multipliers_reach_D() -> None:
    net, x = network(), images()
    net[0].weight.lr_mult = 0.0
    trainer = sgd(net)
    convert(net, inplace=True, trainer=trainer)
    step(net, trainer, x)
    assert not net[0].D.data().asnumpy().any()
    assert net[2].D.data().asnumpy().any()


def test_only_the_D_of_its_own_weights_is_added() -> None:
    net = network()
    head = mx.gluon.Trainer(net[4].collect_params(), "sgd")
    convert(net, inplace=True, trainer=head)
    assert [p.name for p in head._params] == ["net_conv3_bias", "net_conv3_weight", "net_conv3_D"]


def test_a_shared_D_is_added_once() -> None:
    net = shared_pair()
    trainer = sgd(net)
    convert(net, inplace=True, trainer=trainer)
    assert len(trainer._params) == 2


def test_a_trainer_left_alone_is_warned_about() -> None:
    net = network()
    trainer = sgd(net)
    with pytest.warns(
        UserWarning, match=r"weights of 4 .*Pass it as convert\(..., trainer=trainer"
    ):
        convert(net, inplace=True)
    del trainer


def test_no_warning_without_need() -> None:
    net = network()
    trainer = sgd(net)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(net)  # a copy, which no Trainer has
        convert(net, inplace=True, trainer=trainer)


def test_a_copy_has_no_trainer() -> None:
    net = network()
    with pytest.raises(ValueError, match="`trainer` must hold the parameters of the converted"):
        convert(net, trainer=sgd(net))
