"""Nothing is written before everything can be: servers that hold the arrays, and NumPy mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from doconv_gluon import CondConv2D, convert, fold, get_state, load_official, set_state
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import disturb, network, nn, sgd, step, trained_network, values
from tests.star.backends.backend_gluon import ndarray


def images() -> Any:
    made = ndarray(np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32))
    return made.as_np_ndarray() if mx.util.is_np_array() else made


class OnServers:
    """What a Trainer has after its first step with kvstore="dist_sync"."""

    type = "dist_sync"


def trained_on_servers(*, update_on_kvstore: bool = True) -> Any:
    net, x = trained_network(), images()
    trainer = sgd(net)
    step(net, trainer, x)
    trainer._kvstore, trainer._update_on_kvstore = OnServers(), update_on_kvstore
    trainer._params_to_init = []
    return net


WRITE: dict[str, Callable[[Any], Any]] = {
    "fold": lambda net: fold(net, inplace=True),
    "set_state": lambda net: set_state(net, get_state(net)),
}


@pytest.mark.parametrize("write", WRITE.values(), ids=WRITE)
def test_arrays_on_servers_are_refused_before_the_first_is_written(write: Any) -> None:
    net = trained_on_servers()
    before = values(net)
    with pytest.raises(ValueError, match="on the servers of a distributed kvstore"):
        write(net)
    assert values(net) == before


def test_official_checkpoints_are_refused_there_as_well() -> None:
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 3, in_channels=3, use_bias=False))
    net.initialize()
    trainer = sgd(net)
    step(net, trainer, images())
    trainer._kvstore, trainer._update_on_kvstore, trainer._params_to_init = OnServers(), True, []
    before = values(net)
    with pytest.raises(ValueError, match="on the servers of a distributed kvstore"):
        load_official(net, {"0.weight": np.ones((8, 3, 3, 3)), "0.D": np.zeros((9, 9, 3))})
    assert values(net) == before


def test_a_copy_is_folded_whatever_the_trainer() -> None:
    net, x = trained_on_servers(), images()
    np.testing.assert_allclose(fold(net)(x).asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_distributed_trainer_that_updates_by_itself_lets_fold_write() -> None:
    net, x = trained_on_servers(update_on_kvstore=False), images()
    expected = net(x).asnumpy()
    np.testing.assert_allclose(fold(net, inplace=True)(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


# --- NumPy mode ----------------------------------------------------------------------------


@pytest.fixture
def numpy_mode() -> Iterator[None]:
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


@pytest.mark.integration("NumPy mode (mx.npx.set_np)", "convert", "train", "fold")
@pytest.mark.usefixtures("numpy_mode")
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_convert_train_fold_in_numpy_mode(hybridized: bool, inplace: bool) -> None:
    net, x = network(), images()
    net.hybridize(hybridized)
    before = net(x).asnumpy()
    net = convert(net, inplace=inplace, D_mul=11)
    np.testing.assert_array_equal(net(x).asnumpy(), before)
    with mx.autograd.record():
        loss = (net(x) ** 2).sum()
    loss.backward()
    sgd(net).step(1)
    disturb(net)
    expected = net(x).asnumpy()
    folded = fold(net, inplace=inplace)
    np.testing.assert_allclose(folded(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert type(folded[0]) is nn.Conv2D
    assert not folded[0].weight.grad().asnumpy().any()


@pytest.mark.integration("NumPy mode (mx.npx.set_np)", "save", "resume")
@pytest.mark.usefixtures("numpy_mode")
def test_states_and_layers_in_numpy_mode() -> None:
    first, second = trained_network(D_mul=11), convert(network(), D_mul=11)
    set_state(second, get_state(first))
    for name, state in get_state(second).items():
        np.testing.assert_array_equal(state.D, get_state(first)[name].D)
    layer, x = first[0], images()
    plain = layer.fold()
    np.testing.assert_allclose(plain(x).asnumpy(), layer(x).asnumpy(), rtol=1e-4, atol=1e-5)
    experts = CondConv2D(4, 3, D_mul="K", in_channels=3)
    experts.initialize()
    experts.D.set_data(mx.np.random.normal(0, 0.1, experts.D.shape))
    np.testing.assert_allclose(
        experts.fold()(x).asnumpy(), experts(x).asnumpy(), rtol=1e-4, atol=1e-5
    )
