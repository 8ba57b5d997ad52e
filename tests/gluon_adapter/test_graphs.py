"""Convolutions in the graph of a SymbolBlock, as in GluonCV's SSD and feature pyramids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import fold_kernel
from doconv_gluon import convert, fold, get_state, set_state, summary
from doconv_gluon.layers.copying import copied
from doconv_gluon.model.walk import over_parameterized
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import nn, sgd, step
from tests.star.backends.backend_gluon import ndarray

# MXNet's, of SymbolBlock: it asks for the types before anything is known.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")

SymbolBlock = mx.gluon.SymbolBlock


class Extractor(SymbolBlock):
    """A class of its own, as GluonCV's FeatureExpander."""


def images(seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return ndarray(rng.normal(size=(2, 3, 9, 9)).astype(np.float32))


def extractor(*, known: bool = True) -> Any:
    """A network as a graph with two outputs, and a convolution that only the graph has."""
    net = nn.HybridSequential(prefix="base_")
    with net.name_scope():
        net.add(
            nn.Conv2D(8, 3, padding=1, in_channels=3 if known else 0, activation="relu"),
            nn.BatchNorm(in_channels=8 if known else 0),
            nn.Conv2D(8, (3, 2), groups=4, use_bias=False, in_channels=8 if known else 0),
            nn.Conv2D(4, 1, in_channels=8 if known else 0),
        )
    data = mx.sym.var("data")
    y = net(data)
    more = mx.sym.Convolution(
        y, num_filter=5, kernel=(3, 3), stride=(2, 2), no_bias=True, name="extra"
    )
    block = Extractor([y, more], data, params=net.collect_params())
    block.initialize(mx.init.Xavier())
    if known:
        block(images())
    return block


def random_D(model: Any) -> Any:
    rng = np.random.default_rng(2)
    for layer in over_parameterized(model).values():
        for parameter in (layer.D, layer.W_extra):
            if parameter is not None:
                parameter.set_data(0.1 * rng.normal(size=parameter.shape))
    return model


def outputs(net: Any, x: Any) -> list[np.ndarray]:
    return [y.asnumpy() for y in net(x)]


def graph(block: Any) -> Any:
    return json.loads(block._cached_graph[1].tojson())["nodes"]


CONVERTED = ["base_conv0_fwd", "base_conv1_fwd", "extra"]


@pytest.mark.integration("SymbolBlock", "convert", "train", "fold")
@pytest.mark.parametrize("D_mul", [None, 12], ids=["D_mul=K", "D_mul=12"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "deferred"])
def test_convert_train_fold(known: bool, inplace: bool, D_mul: int | None) -> None:
    block, x = extractor(known=known), images()
    plain_graph, keys = graph(block), list(block._reg_params)
    mx.random.seed(0)
    before = outputs(copied(block), x) if not known else outputs(block, x)
    mx.random.seed(0)
    net = convert(block, inplace=inplace, D_mul=D_mul)
    assert list(over_parameterized(net)) == CONVERTED
    if known or D_mul is None:  # a deferred W_extra is drawn as well, from the same generator
        for ours, theirs in zip(outputs(net, x), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    outputs(net, x)

    trainer = sgd(net, momentum=0.9)
    with mx.autograd.record():
        loss = sum((y**2).sum() for y in net(x))
    loss.backward()
    trainer.step(1)
    for layer in over_parameterized(net).values():
        assert layer.D.data().asnumpy().any()

    expected = outputs(random_D(net), x)
    plain = fold(net, inplace=inplace)
    for ours, theirs in zip(outputs(plain, x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert type(plain) is Extractor
    assert graph(plain) == plain_graph
    assert list(plain._reg_params) == keys
    assert not {"_over_parameterized"} & vars(plain).keys()


def test_an_imported_graph_knows_its_sizes_after_a_batch(tmp_path: Path) -> None:
    """A parameter that is loaded has data, and no shape."""
    plain, x = extractor(), images()
    plain.hybridize()
    plain(x)
    plain.export(str(tmp_path / "net"))
    names = [str(tmp_path / name) for name in ("net-symbol.json", "net-0000.params")]
    block = SymbolBlock.imports(names[0], ["data"], names[1])
    block(x)
    net = random_D(convert(block))
    assert len(get_state(net)) == len(CONVERTED)
    assert all(row.parameters for row in summary(net))
    expected = outputs(net, x)
    for ours, theirs in zip(outputs(fold(net), x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_kernels_are_those_of_the_core() -> None:
    net = random_D(convert(extractor(), D_mul=13))
    state, plain = get_state(net), fold(net)
    for name, layer in over_parameterized(net).items():
        own = plain.collect_params()[layer.weight.name].data().asnumpy()
        exact = fold_kernel(state[name].spec, state[name].W, state[name].D)
        np.testing.assert_array_equal(own.reshape(exact.shape), exact)
        np.testing.assert_allclose(
            layer.composed_kernel().asnumpy().reshape(exact.shape), exact, rtol=1e-4, atol=1e-6
        )


def test_states_go_from_one_to_another(tmp_path: Path) -> None:
    first, second, x = random_D(convert(extractor())), convert(extractor()), images()
    set_state(second, get_state(first))
    for name, state in get_state(second).items():
        np.testing.assert_array_equal(state.D, get_state(first)[name].D)
    path = str(tmp_path / "net.params")
    first.save_parameters(path)
    second.load_parameters(path)
    for ours, theirs in zip(outputs(second, x), outputs(first, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_copy_trains_on_its_own() -> None:
    net, x = random_D(convert(extractor())), images()
    before = outputs(net, x)
    other = copied(net)
    for layer in over_parameterized(other).values():
        layer.D.set_data(mx.nd.zeros(layer.D.shape))
    for ours, theirs in zip(outputs(net, x), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(over_parameterized(fold(other))) == []
    assert list(over_parameterized(net)) == CONVERTED


def test_within_a_network_that_is_hybridized() -> None:
    class Net(nn.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.features = extractor()
            self.head = nn.Conv2D(3, 3, in_channels=4)

        def hybrid_forward(self, F: Any, x: Any) -> Any:
            first, more = self.features(x)
            return F.broadcast_add(self.head(first), F.mean(more, axis=(1, 2, 3), keepdims=True))

    net, x = Net(), images()
    net.head.initialize()
    net.hybridize()
    before = net(x).asnumpy()
    convert(net, inplace=True, where=["features"])
    assert [row.name for row in summary(net).converted] == [f"features.{n}" for n in CONVERTED]
    np.testing.assert_array_equal(net(x).asnumpy(), before)
    step(net, sgd(net), x)
    expected = random_D(net)(x).asnumpy()
    np.testing.assert_allclose(fold(net, inplace=True)(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def shared(data: Any, *, also: bool) -> Any:
    weight = mx.sym.var("head_weight")
    ys = [
        mx.sym.Convolution(x, weight, num_filter=3, kernel=(3, 3), no_bias=True, name=f"head{i}")
        for i, x in enumerate((data, data * 2))
    ]
    return [*ys, mx.sym.sum(weight)] if also else ys


def test_nodes_that_share_a_weight_share_its_D() -> None:
    data = mx.sym.var("data")
    block, x = SymbolBlock(shared(data, also=False), data), images()
    block.initialize()
    before = outputs(block, x)
    net = convert(block)
    (row,) = summary(net)
    assert (row.name, row.S) == ("head0", 9)
    for ours, theirs in zip(outputs(net, x), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    first, second = outputs(random_D(net), x)
    np.testing.assert_allclose(2 * first, second, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_read_otherwise_is_left() -> None:
    data = mx.sym.var("data")
    block = SymbolBlock(shared(data, also=True), data)
    with pytest.warns(UserWarning, match="found no convolution"):
        convert(block)
    assert "SymbolBlock" in summary(block)[0].reason


@pytest.mark.integration("SymbolBlock", "export")
def test_an_imported_network_is_converted_and_exported_again(tmp_path: Path) -> None:
    net, x, path = nn.HybridSequential(), images(), str(tmp_path / "net")
    net.add(nn.Conv2D(4, 3, in_channels=3), nn.Conv2D(4, 3, in_channels=4))
    net.initialize()
    net.hybridize()
    expected = net(x).asnumpy()
    net.export(path)
    files = (f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    imported = convert(SymbolBlock.imports(*files), inplace=True)
    np.testing.assert_array_equal(imported(x).asnumpy(), expected)
    expected = random_D(imported)(x).asnumpy()
    folded = fold(imported, inplace=True)
    folded(x)
    folded.export(path)
    again = SymbolBlock.imports(*files)
    np.testing.assert_allclose(again(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
