"""XSepConv2D in Gluon's ways of using a layer."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import doconv_gluon
from doconv_core import messages
from doconv_gluon import XSepConv2D, convert, fold, get_state, set_state, summary
from doconv_gluon.layers.do_conv import DOConvNd
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import disturb, nn, sgd, step
from tests.star.backends.backend_gluon import ndarray


def images(size: tuple[int, int] = (9, 8)) -> Any:
    return ndarray(np.random.default_rng(1).normal(size=(2, 4, *size)).astype(np.float32))


def trained(**given: Any) -> XSepConv2D:
    """An initialized layer, its D as training would leave it."""
    layer = XSepConv2D(4, 5, **{"strides": 2, "corner": 1, "D_mul": "K", **given})
    layer.initialize(mx.init.Xavier())
    return disturb(layer)


def test_the_parameters_names() -> None:
    layer = XSepConv2D(4, 5, prefix="xsep_")
    assert list(layer.collect_params()) == [
        "xsep_square_weight",
        "xsep_horizontal_weight",
        "xsep_vertical_weight",
        "xsep_vertical_bias",
    ]
    assert list(layer._collect_params_with_prefix()) == [
        "square.weight",
        "horizontal.weight",
        "vertical.weight",
        "vertical.bias",
    ]


def test_bad_sizes_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match=re.escape(messages.neighbours.not_separable(3))):
        XSepConv2D(4, 3)


def test_activation_and_initializers_reach_the_convolutions() -> None:
    layer = XSepConv2D(4, 5, activation="relu", weight_initializer="ones", bias_initializer="ones")
    layer.initialize()
    assert layer(images()).asnumpy().min() >= 0
    assert all((p.data().asnumpy() == 1).all() for p in layer.collect_params().values())
    assert layer.square.act is layer.horizontal.act is None


def test_features_keep_their_variance_at_birth() -> None:
    layer = XSepConv2D(256, 5)
    layer.initialize(mx.init.Xavier())
    x = np.random.default_rng(0).normal(size=(1, 256, 12, 12)).astype(np.float32)
    assert 0.5 < layer(ndarray(x)).asnumpy()[..., 3:-3, 3:-3].var() < 2


def by_parameters(layer: XSepConv2D, path: Path) -> XSepConv2D:
    layer.save_parameters(str(path / "layer.params"))
    other = XSepConv2D(4, 5, 2, corner=1, D_mul="K")
    other.load_parameters(str(path / "layer.params"))
    return other


def by_neutral_state(layer: XSepConv2D, path: Path) -> XSepConv2D:
    other = XSepConv2D(4, 5, 2, corner=1, D_mul="K")
    other.initialize()
    set_state(other, get_state(layer))
    return other


def by_hybridizing(layer: XSepConv2D, path: Path) -> XSepConv2D:
    layer.hybridize(static_alloc=True, static_shape=True)
    return layer


def by_symbol(layer: XSepConv2D, path: Path) -> Any:
    layer.hybridize()
    layer(images())
    layer.export(str(path / "layer"))
    files = str(path / "layer-symbol.json"), ["data"], str(path / "layer-0000.params")
    return mx.gluon.SymbolBlock.imports(*files)


WAYS: dict[str, Callable[[XSepConv2D, Path], Any]] = {
    "fold": lambda layer, path: layer.fold(),
    "hybridize": by_hybridizing,
    "folded, then hybridize": lambda layer, path: by_hybridizing(layer.fold(), path),
    "export": by_symbol,
    "folded, then export": lambda layer, path: by_symbol(layer.fold(), path),
    "save_parameters": by_parameters,
    "neutral state": by_neutral_state,
}


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_every_way_leads_to_the_same_output(way: Any, tmp_path: Path) -> None:
    layer = trained()
    y = layer(images()).asnumpy()
    other = way(layer, tmp_path)
    np.testing.assert_allclose(other(images()).asnumpy(), y, rtol=1e-4, atol=1e-6)


def test_convert_and_fold_change_the_three() -> None:
    net = nn.HybridSequential()
    net.add(trained(D_mul=None))
    y = net(images()).asnumpy()
    converted = convert(net)
    assert all(isinstance(getattr(converted[0], name), DOConvNd) for name in ("square", "vertical"))
    np.testing.assert_array_equal(converted(images()).asnumpy(), y)
    folded = fold(disturb(converted))
    assert type(folded[0].horizontal) is nn.Conv2D
    one = convert(net, where=lambda name, _: name == "0.square")
    assert list(get_state(one)) == ["0.square"]


def test_summary_has_a_row_for_each_of_the_three() -> None:
    rows = summary(trained(), images())
    assert [(row.name, row.K, row.S) for row in rows] == [
        ("square", 4, 4),
        ("horizontal", 5, 5),
        ("vertical", 5, 5),
    ]
    plain = sum(row.macs[0] for row in rows if row.macs)
    assert plain == 2 * 4 * (4 * 9 * 8 + 5 * 9 * 4 + 5 * 5 * 4)


def test_arrays_as_numpy_has_them() -> None:
    layer = trained()
    y = layer(images()).asnumpy()
    with mx.util.np_array(True):
        given = mx.np.array(images().asnumpy())
        np.testing.assert_array_equal(layer(given).asnumpy(), y)


@pytest.mark.parametrize("hybrid", [False, True], ids=["imperative", "hybridized"])
def test_a_trainer_trains_every_parameter(hybrid: bool) -> None:
    layer = trained(D_mul=11)
    if hybrid:
        layer.hybridize()
    before = {name: p.data().asnumpy() for name, p in layer.collect_params().items()}
    step(layer, sgd(layer), images())
    for name, parameter in layer.collect_params().items():
        assert not np.array_equal(parameter.data().asnumpy(), before[name]), name


def test_the_fold_shares_nothing_with_the_layer() -> None:
    layer = trained()
    folded = layer.fold()
    before = copy.deepcopy(folded(images()).asnumpy())
    disturb(layer, size=1.0)
    np.testing.assert_array_equal(folded(images()).asnumpy(), before)
    assert not doconv_gluon.get_state(folded)
