"""CondConv in Gluon's graphs: hybridized, waiting for its input channels, exported, in training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import CondConv1D, CondConv2D, CondConv3D
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.condconv import images, trained
from tests.gluon_adapter.helpers import nn, sgd, step

CLASSES = {1: CondConv1D, 2: CondConv2D, 3: CondConv3D}
evaluations = pytest.mark.parametrize("evaluation", ["kernels", "outputs"])
hybrid = pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])

WAYS = {
    "imperative": lambda net: None,
    "hybridized-alone": lambda net: net[1].hybridize(),
    "hybridized-parent": lambda net: net.hybridize(),
    "static": lambda net: net.hybridize(static_alloc=True, static_shape=True),
}


@evaluations
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("D_mul", [None, 20], ids=["plain", "D_mul=20"])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_first_input_tells_the_input_channels(
    layout: str, groups: int, D_mul: int | None, way: str, evaluation: str
) -> None:
    x, results = images(4, size=6), []
    x = x if layout == "NCHW" else x.transpose((0, 2, 3, 1))
    for in_channels in (0, 4):
        net = nn.HybridSequential()
        given = {"groups": groups, "D_mul": D_mul, "layout": layout, "evaluation": evaluation}
        net.add(nn.Activation("relu"), CondConv2D(8, 3, in_channels=in_channels, **given))
        mx.random.seed(0)
        net.initialize(mx.init.Xavier())
        WAYS[way](net)
        net(x)
        trained(net)
        with mx.autograd.record():
            y = net(x)
        y.backward()
        gradients = [p.grad().asnumpy() for p in net.collect_params().values()]
        results.append([y.asnumpy(), *gradients])
        assert all(gradient.any() for gradient in gradients)
    for waited, told in zip(*results, strict=True):
        np.testing.assert_array_equal(waited, told)


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
@pytest.mark.usefixtures("usual_way")
@evaluations
@pytest.mark.parametrize("D_mul", [None, "K"], ids=["plain", "D_mul=K"])
@pytest.mark.parametrize("kernel_size", [3, 2], ids=["odd", "even"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("ndim", CLASSES)
def test_a_graph_and_its_export_take_any_batch_and_size(
    tmp_path: Path, ndim: int, groups: int, kernel_size: int, D_mul: Any, evaluation: str
) -> None:
    """In three dimensions, MXNet reorders memory where a channel count divides by eight."""
    given = {"groups": groups, "D_mul": D_mul, "evaluation": evaluation, "in_channels": 16}
    layer = trained(CLASSES[ndim](16, kernel_size, padding=1, strides=2, **given), size=0.1)
    inputs = [images(16, batch=b, size=s, ndim=ndim) for b, s in ((2, 7), (5, 7), (1, 9))]
    expected = [layer(x).asnumpy() for x in inputs]
    layer.hybridize(static_alloc=True, static_shape=True)
    found = [layer(x).asnumpy() for x in inputs]
    path = str(tmp_path / "layer")
    layer.export(path)
    files = (f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    imported = mx.gluon.SymbolBlock.imports(*files)
    for x, array, ours in zip(inputs, expected, found, strict=True):
        np.testing.assert_allclose(ours, array, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(imported(x).asnumpy(), ours)


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
def test_a_layer_routed_from_outside_is_exported_with_two_inputs(tmp_path: Path) -> None:
    layer = trained(CondConv2D(6, 3, in_channels=4, routing=False))
    x, alpha, path = images(4), mx.nd.ones((3, 4)) / 4, str(tmp_path / "layer")
    expected = layer(x, alpha).asnumpy()
    layer.hybridize()
    layer(x, alpha)
    layer.export(path)
    files = (f"{path}-symbol.json", ["data0", "data1"], f"{path}-0000.params")
    y = mx.gluon.SymbolBlock.imports(*files)(x, alpha).asnumpy()
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@evaluations
@hybrid
def test_on_several_devices(hybridized: bool, evaluation: str) -> None:
    devices = [mx.cpu(0), mx.cpu(1)]
    layer = CondConv2D(6, 3, D_mul=11, evaluation=evaluation)
    layer.initialize(ctx=devices)
    layer.hybridize(hybridized)
    layer(images(4))
    first, second = (trained(layer)(images(4).as_in_context(device)) for device in devices)
    assert second.context == layer.composed_kernel(mx.cpu(1)).context == mx.cpu(1)
    np.testing.assert_array_equal(first.asnumpy(), second.asnumpy())


# --- training ----------------------------------------------------------------------------


@evaluations
@hybrid
def test_ten_steps_with_predictions_between_are_the_same_in_every_way(
    hybridized: bool, evaluation: str
) -> None:
    """In prediction mode oneDNN reorders a weight; nothing may notice."""

    def train(predict: bool, **given: Any) -> list[np.ndarray]:
        layer = trained(CondConv2D(16, 3, in_channels=16, groups=2, D_mul=11, **given), size=0.1)
        layer.hybridize(hybridized and predict)
        trainer, x = sgd(layer, momentum=0.9), images(16)
        for _ in range(10):
            step(layer, trainer, x)
            if predict:
                layer(x).asnumpy()
        return [parameter.data().asnumpy() for parameter in layer.collect_params().values()]

    expected = train(predict=False)
    for ours, theirs in zip(train(predict=True, evaluation=evaluation), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@evaluations
@hybrid
def test_gradients_add_up_where_asked_to(hybridized: bool, evaluation: str) -> None:
    for D_mul in (None, 10):
        layer = trained(CondConv2D(4, 3, in_channels=2, D_mul=D_mul, evaluation=evaluation))
        x, gradients = images(2), []
        for request, times in (("write", 1), ("add", 2)):
            layer.collect_params().setattr("grad_req", request)
            layer.collect_params().zero_grad()
            layer.hybridize(hybridized)
            for _ in range(times):
                with mx.autograd.record():
                    y = layer(x)
                y.backward()
            gradients.append([p.grad().asnumpy() for p in layer.collect_params().values()])
        for once, twice in zip(*gradients, strict=True):
            np.testing.assert_allclose(2 * once, twice, rtol=1e-5, atol=1e-5)
            assert once.any()


@evaluations
@hybrid
@pytest.mark.parametrize("frozen", ["weight", "D", "W_extra", "bias", "routing"])
def test_freezing_one_parameter_leaves_the_others_gradients(
    frozen: str, hybridized: bool, evaluation: str
) -> None:
    layer = trained(CondConv2D(4, 3, in_channels=2, D_mul=10, evaluation=evaluation))
    parameters = {**layer._reg_params, "routing": layer.routing.weight}
    alone, x, gradients = parameters.pop(frozen), images(2), []
    for request in ("write", "null"):
        alone.grad_req = request
        layer.hybridize(hybridized)
        with mx.autograd.record():
            y = layer(x)
        y.backward()
        gradients.append([parameter.grad().asnumpy() for parameter in parameters.values()])
    for all_free, others in zip(*gradients, strict=True):
        np.testing.assert_allclose(all_free, others, rtol=1e-5, atol=1e-5)
        assert others.any()


# --- NumPy mode --------------------------------------------------------------------------


@pytest.fixture
def numpy_mode() -> Iterator[None]:
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


@pytest.mark.usefixtures("numpy_mode")
@evaluations
@hybrid
@pytest.mark.parametrize("in_channels", [0, 4], ids=["deferred", "known"])
@pytest.mark.parametrize("D_mul", [None, 20], ids=["plain", "D_mul=20"])
def test_layers_work_in_numpy_mode(
    D_mul: int | None, in_channels: int, hybridized: bool, evaluation: str
) -> None:
    given = {"D_mul": D_mul, "evaluation": evaluation, "activation": "relu"}
    layer = CondConv2D(8, 3, in_channels=in_channels, **given)
    layer.initialize(mx.init.One())
    layer.hybridize(hybridized)
    x = mx.np.ones((2, 4, 6, 6)) / 4
    with mx.autograd.record():
        y = layer(x)
    y.backward()
    assert isinstance(y, mx.np.ndarray)
    assert isinstance(layer.composed_kernel(), mx.np.ndarray)
    alpha = 1 / (1 + np.exp(-1))  # of every expert, for each channel's mean of 1/4
    np.testing.assert_allclose(y.asnumpy(), 4 * alpha * 9, rtol=1e-5)
    for parameter in layer.collect_params().values():
        if not parameter.name.endswith("W_extra"):  # D is zero there
            assert parameter.grad().asnumpy().any(), parameter.name
