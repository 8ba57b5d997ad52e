"""A Trainer that was built before conversion."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import (
    disturb,
    images,
    layers_of,
    network,
    nn,
    sgd,
    shared_pair,
    step,
)

OPTIMIZERS = {
    "sgd": {"learning_rate": 1e-2},
    "momentum": {"learning_rate": 1e-2, "momentum": 0.9},
    "adam": {"learning_rate": 1e-2},
}


def trainer_of(net, name: str, **options):
    kind = "adam" if name == "adam" else "sgd"
    return mx.gluon.Trainer(net.collect_params(), kind, OPTIMIZERS[name], **options)


DEVICES = pytest.mark.parametrize(
    ("devices", "update_on_kvstore"),
    [(1, None), (1, False), (2, None), (2, True), (2, False)],  # one device has no kvstore
)


@pytest.mark.integration("Trainer", "convert", "train")
@DEVICES
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
        results.append(train(net, trainer, batches))
    for early, late in zip(*results, strict=True):
        np.testing.assert_array_equal(early, late)


def train(net, trainer, batches, steps: int = 3) -> list[np.ndarray]:
    """The parameters, as the last device has them."""
    for _ in range(steps):
        with mx.autograd.record():
            losses = [(net(batch) ** 2).sum() for batch in batches]
        mx.autograd.backward(losses)
        trainer.step(1)
    return [p.data(batches[-1].context).asnumpy() for p in net.collect_params().values()]


# MXNet 1.9.1 opens the file in KVStore.load_optimizer_states and does not close it.
@pytest.mark.integration("Trainer", "fold")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@DEVICES
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_after_folding_in_place_it_goes_on_as_with_a_plain_network(
    name: str, devices: int, update_on_kvstore: bool | None, tmp_path: Path
) -> None:
    """With the plain network's arrays and the same state of the optimizer, to the bit."""
    contexts, states = [mx.cpu(i) for i in range(devices)], str(tmp_path / "states")
    batches = [images().as_in_context(ctx) for ctx in contexts]
    net, plain = network(initialized=False), network(initialized=False)
    for each in (net, plain):
        each.initialize(mx.init.Xavier(), ctx=contexts)
    trainer = trainer_of(net, name, update_on_kvstore=update_on_kvstore)
    convert(net, inplace=True, trainer=trainer)
    train(net, trainer, batches)
    fold(net, inplace=True)
    for ours, theirs in zip(
        plain.collect_params().values(), net.collect_params().values(), strict=True
    ):
        ours.set_data(theirs.data(contexts[0]))
    trainer.save_states(states)
    other = trainer_of(plain, name, update_on_kvstore=update_on_kvstore)
    other.load_states(states)
    for ours, theirs in zip(
        train(net, trainer, batches), train(plain, other, batches), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


# As above.
@pytest.mark.integration("Trainer", "save", "resume")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@DEVICES
@pytest.mark.parametrize("listed", [False, True], ids=["dict", "list"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_a_late_conversion_load_into_a_fresh_trainer(
    name: str, listed: bool, devices: int, update_on_kvstore: bool | None, tmp_path: Path
) -> None:
    """Which then does what the first one does, to the bit."""
    contexts, files = [mx.cpu(i) for i in range(devices)], str(tmp_path / "net")
    batches = [images().as_in_context(ctx) for ctx in contexts]

    def trainer_on(net) -> mx.gluon.Trainer:
        parameters = net.collect_params()
        chosen = list(parameters.values()) if listed else parameters
        kind = "adam" if name == "adam" else "sgd"
        options = {"update_on_kvstore": update_on_kvstore}
        return mx.gluon.Trainer(chosen, kind, OPTIMIZERS[name], **options)

    net, fresh = network(initialized=False), network(initialized=False)
    for each in (net, fresh):
        each.initialize(mx.init.Xavier(), ctx=contexts)
    trainer = trainer_on(net)
    train(net, trainer, batches)
    convert(net, inplace=True, trainer=trainer, D_mul=12)
    train(net, trainer, batches)
    net.save_parameters(f"{files}.params")
    trainer.save_states(f"{files}.states")

    convert(fresh, inplace=True, D_mul=12)
    fresh.load_parameters(f"{files}.params", ctx=contexts)
    other = trainer_on(fresh)
    assert [p.name for p in other._params] == [p.name for p in trainer._params]
    other.load_states(f"{files}.states")
    for ours, theirs in zip(
        train(fresh, other, batches), train(net, trainer, batches), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


class OnServers:
    """What a Trainer has after its first step with kvstore="dist_sync"."""

    type = "dist_sync"


def test_where_parameters_have_fixed_places_the_new_ones_come_last_and_it_is_said() -> None:
    net = network()
    trainer = sgd(net)
    trainer._kvstore = OnServers()
    before = list(trainer._params)
    with pytest.warns(UserWarning, match=r"The 4 new .* at the end of this Trainer"):
        convert(net, inplace=True, trainer=trainer)
    assert trainer._params[: len(before)] == before
    assert [p.name for p in trainer._params[len(before) :]] == [
        f"net_conv{i}_D" for i in (0, 1, 3, 4)
    ]


def test_folded_D_leaves_its_trainer() -> None:
    net, x = network(), images()
    trainer = sgd(net, momentum=0.9)
    train(net, trainer, [x])
    before = list(trainer._params)
    for _ in range(3):
        convert(net, inplace=True, trainer=trainer)
        train(net, trainer, [x])
        fold(net, inplace=True)
        train(net, trainer, [x])
    assert trainer._params == before
    trained = {index for index, p in enumerate(before) if p.grad_req != "null"}
    assert set(trainer._updaters[0].states) == trained
    assert all(parameter._trainer is trainer for parameter in before)


@pytest.mark.parametrize("D_mul", [None, 12], ids=["D_mul=K", "D_mul=12"])
def test_one_built_on_the_converted_network_goes_on_after_folding(D_mul: int | None) -> None:
    net, x = convert(network(), D_mul=D_mul), images()
    trainer = sgd(net, momentum=0.9)
    train(net, trainer, [x])
    index = trainer._param2idx[net[0].weight.name]
    momentum = trainer._updaters[0].states[index].asnumpy().copy()
    fold(net, inplace=True)
    index = trainer._param2idx[net[0].weight.name]
    np.testing.assert_array_equal(trainer._updaters[0].states[index].asnumpy(), momentum)
    before = net[0].weight.data().asnumpy()
    train(net, trainer, [x], steps=1)
    moved = 0.9 * momentum - 1e-3 * net[0].weight.grad().asnumpy()
    np.testing.assert_allclose(net[0].weight.data().asnumpy(), before + moved, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("D_mul", [9, 12], ids=["same-size", "another-size"])
@DEVICES
def test_after_folding_it_can_be_given_a_new_D(
    devices: int, update_on_kvstore: bool | None, D_mul: int
) -> None:
    contexts = [mx.cpu(i) for i in range(devices)]
    batches = [images().as_in_context(ctx) for ctx in contexts]
    net = network(initialized=False)
    net.initialize(mx.init.Xavier(), ctx=contexts)
    trainer = sgd(net, update_on_kvstore=update_on_kvstore)
    for columns in (9, D_mul):
        convert(net, D_mul=columns, inplace=True, trainer=trainer)
        trained = train(net, trainer, batches)
        assert all(layer.D.data(contexts[0]).asnumpy().any() for layer in layers_of(net).values())
        # On several devices this lets the Trainer look for its parameters anew.
        net[6].bias.set_data(net[6].bias.data(contexts[0]))
        for ours, theirs in zip(train(net, trainer, batches, 0), trained, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        D = net[0].D.data(contexts[0]).asnumpy()
        train(net, trainer, batches, 1)
        assert abs(net[0].D.data(contexts[0]).asnumpy() - D).max() < abs(D).max()
        fold(net, inplace=True)


def test_a_graph_around_a_folded_block_computes_and_trains_the_plain_one() -> None:
    """It was traced before, with D in it, and is not in fold's reach."""
    net, x = disturb(convert(network(), D_mul=12)), images()
    outer = nn.HybridSequential()
    outer.add(net, nn.Dense(2, in_units=5))
    outer[1].initialize()
    outer.hybridize()
    trainer = sgd(outer)
    train(outer, trainer, [x])
    expected = outer(x).asnumpy()
    fold(net, inplace=True)
    np.testing.assert_allclose(outer(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    train(outer, trainer, [x])
    expected = outer(x).asnumpy()
    outer._clear_cached_op()
    np.testing.assert_allclose(outer(x).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_in_the_middle_of_training_the_momentum_stays() -> None:
    net, x = network(), images()
    trainer = sgd(net, momentum=0.9)
    step(net, trainer, x)
    index = trainer._param2idx[net[0].weight.name]
    before = trainer._updaters[0].states[index].asnumpy().copy()
    convert(net, inplace=True, trainer=trainer)
    index = trainer._param2idx[net[0].weight.name]
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
    assert [p.name for p in head._params] == ["net_conv3_D", "net_conv3_bias", "net_conv3_weight"]


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
