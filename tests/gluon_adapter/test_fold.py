"""fold: Gluon's own layers again, computing what the DO-Conv layers did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doconv_core import fold_kernel
from doconv_gluon import DOConv2D, convert, fold, get_state
from doconv_gluon.model.walk import blocks_once
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import (
    disturb,
    images,
    layers_of,
    network,
    nn,
    sgd,
    step,
    trained_network,
    values,
)


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("D_mul", [None, 12], ids=["D_mul=K", "D_mul=12"])
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_a_folded_network_computes_the_same(
    hybridized: bool, D_mul: int | None, inplace: bool
) -> None:
    net, x = trained_network(D_mul=D_mul), images()
    if hybridized:
        net.hybridize()
    expected = net(x).asnumpy()
    folded = fold(net, inplace=inplace)
    assert (folded is net) == inplace
    np.testing.assert_allclose(folded(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_classes_names_and_attributes_are_the_plain_network_s() -> None:
    plain = network()
    folded = fold(disturb(convert(plain)))
    assert list(folded.collect_params()) == list(plain.collect_params())
    for name, block in blocks_once(plain).items():
        other = blocks_once(folded)[name]
        assert type(other) is type(block)
        assert sorted(vars(other)) == sorted(vars(block))
        assert list(other.params) == list(block.params)


def test_kernels_are_rounded_once_from_float64() -> None:
    net = trained_network(D_mul=12)
    state, folded = get_state(net), fold(net)
    for name, layer in state.items():
        weight = blocks_once(folded)[name].weight.data().asnumpy()
        exact = fold_kernel(layer.spec, layer.W, layer.D)
        assert sorted(weight.ravel()) == sorted(exact.ravel())


def test_a_folded_copy_shares_nothing_and_changes_nothing() -> None:
    net, x = trained_network(), images()
    trainer = sgd(net, momentum=0.9)
    step(net, trainer, x)
    before = values(net)
    folded = fold(net)
    assert values(net) == before
    for name, parameter in folded.collect_params().items():
        assert parameter is not net.collect_params()[name]
        parameter.set_data(mx.nd.zeros_like(parameter.data()))
    assert values(net) == before
    step(net, trainer, x)


def test_folding_keeps_the_random_state() -> None:
    net, drawn = trained_network(D_mul=12), []
    for verb in (lambda: None, lambda: fold(net)):
        mx.random.seed(3)
        verb()
        drawn.append(mx.nd.random.uniform(shape=3).asnumpy())
    np.testing.assert_array_equal(*drawn)


def test_folding_in_place_keeps_blocks_and_weights_for_a_trainer() -> None:
    net, x = trained_network(), images()
    weights = [block.weight for block in layers_of(net).values()]
    held = net[0]
    fold(net, inplace=True)
    assert type(held) is nn.Conv2D
    assert held is net[0]
    assert [net[int(i)].weight for i in "0245"] == weights
    assert not any(weight.grad().asnumpy().any() for weight in weights)
    step(net, sgd(net), x)


def test_folding_twice_changes_nothing() -> None:
    folded = fold(trained_network())
    before = values(folded)
    assert fold(folded, inplace=True) is folded
    assert values(folded) == before


def test_one_layer_folds_to_a_new_plain_layer() -> None:
    layer = DOConv2D(4, 3, in_channels=2, activation="relu", D_mul=10, prefix="mine_")
    layer.initialize()
    disturb(layer)
    conv = layer.fold()
    assert type(conv) is nn.Conv2D
    assert type(layer) is DOConv2D
    assert conv.weight is not layer.weight
    assert list(conv.collect_params()) == ["mine_weight", "mine_bias"]
    assert conv.act is not None


def test_a_plain_network_loads_what_a_folded_one_saved(tmp_path: Path) -> None:
    path, net, plain, x = str(tmp_path / "net.params"), trained_network(), network(), images()
    folded = fold(net)
    folded.save_parameters(path)
    plain.load_parameters(path)
    np.testing.assert_array_equal(plain(x).asnumpy(), folded(x).asnumpy())


def bad_value(net: nn.Block) -> None:
    data = net[4].D.data()
    data[0, 0, 0] = float("nan")
    net[4].D.set_data(data)


def bad_size(net: nn.Block) -> None:
    net.cast("float16")
    net[4].weight.set_data(mx.nd.full(net[4].weight.shape, 6e4))
    net[4].D.set_data(mx.nd.ones(net[4].D.shape))


class Own(DOConv2D):
    """A subclass whose plain form is not known."""


def a_subclass(net: nn.Block) -> None:
    net[4].__class__ = Own


def a_shared_weight(net: nn.Block) -> None:
    net.add(nn.Conv2D(6, 3, in_channels=12, params=net[4].params))


CANNOT = {
    "not-finite": (bad_value, "cannot fold layer '4': `D` must be finite"),
    "overflow": (bad_size, "cannot fold layer '4': its kernel does not fit its type"),
    "subclass": (a_subclass, "cannot fold layer '4'.*Own.*a subclass may compute something else"),
    "shared": (a_shared_weight, "cannot fold layer '4'.*also that of a layer which stays plain"),
}


@pytest.mark.parametrize(("change", "message"), CANNOT.values(), ids=CANNOT)
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_an_error_leaves_the_network_as_it_was(change, message: str, inplace: bool) -> None:
    net = trained_network()
    change(net)
    kinds = [type(block) for block in blocks_once(net).values()]
    first = net[0].weight.data().asnumpy()
    with pytest.raises(ValueError, match=message):
        fold(net, inplace=inplace)
    assert [type(block) for block in blocks_once(net).values()] == kinds
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), first)


@pytest.mark.parametrize("known", [False, True], ids=["deferred", "known"])
def test_a_network_without_values_cannot_be_folded(known: bool) -> None:
    net = convert(network(known=known, initialized=known is False))
    with pytest.raises(
        ValueError, match=r"cannot fold layer '0'.*initialize the model and run one"
    ):
        fold(net)
