"""Number types, layouts and modes of MXNet, and what composing costs in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from doconv_core import compose_kernel
from doconv_gluon import DOConv2D, DOConv2DTranspose, DOConv3D, get_state
from doconv_gluon.layers.do_conv import DOConvNd
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import disturb, in_child, nn


def test_float16_is_composed_in_float32_and_rounded_once() -> None:
    layer = DOConv2D(16, 3, in_channels=8, D_mul=20)
    layer.initialize()
    disturb(layer).cast("float16")
    kernel = layer.composed_kernel()
    assert {p.dtype for p in layer.collect_params().values()} == {"float16"}
    assert kernel.dtype == np.float16
    state = get_state(layer)[""]
    exact = compose_kernel(layer.spec, state.W.astype(np.float64), state.D.astype(np.float64))
    difference = abs(kernel.asnumpy().reshape(exact.shape) - exact)
    # Half a float16 rounding, and what the sum in float32 may add to it.
    assert (difference <= 0.501 * np.finfo(np.float16).eps * abs(exact) + 2.0**-25).all()


def test_float64_stays_float64() -> None:
    layer = DOConv2D(4, 3, in_channels=2)
    layer.initialize()
    disturb(layer).cast("float64")
    state = get_state(layer)[""]
    exact = compose_kernel(layer.spec, state.W, state.D)
    np.testing.assert_allclose(
        layer.composed_kernel().asnumpy().reshape(exact.shape), exact, rtol=1e-13
    )


HOST_CANNOT = {
    "float16": (lambda layer: layer.cast("float16"), {}, (1, 4, 6, 6), "float16"),
    "NHWC": (lambda layer: None, {"layout": "NHWC"}, (1, 6, 6, 4), "float32"),
}


@pytest.mark.parametrize(
    ("change", "options", "shape", "dtype"), HOST_CANNOT.values(), ids=HOST_CANNOT
)
def test_what_the_host_cannot_do_on_a_cpu_keeps_the_host_s_error(
    change: Any, options: dict[str, Any], shape: tuple[int, ...], dtype: str
) -> None:
    said = []
    for cls in (nn.Conv2D, DOConv2D):
        layer = cls(8, 3, in_channels=4, **options)
        layer.initialize()
        change(layer)
        with pytest.raises(mx.base.MXNetError) as error:
            layer(mx.nd.ones(shape, dtype=dtype)).asnumpy()
        said.append(str(error.value).splitlines()[-1])
    assert said[0] == said[1]


def test_automatic_mixed_precision_composes_in_float32_and_keeps_the_host_s_error() -> None:
    code = """
from doconv_gluon import DOConv2D
from doconv_gluon.mxnet import mx
from mxnet.contrib import amp
from mxnet.contrib.amp.lists import symbol_fp16
print("linalg_gemm" in symbol_fp16.FP32_FUNCS)
amp.init()
for cls in (DOConv2D.host, DOConv2D):
    layer = cls(8, 3, in_channels=4)
    layer.initialize()
    try:
        layer(mx.nd.ones((1, 4, 6, 6))).asnumpy()
    except mx.base.MXNetError as error:
        print(str(error).splitlines()[-1])
layer.initialize(force_reinit=True)
print(layer.composed_kernel().dtype.__name__)
"""
    composed, host, ours, dtype = in_child(code).splitlines()
    assert (composed, dtype) == ("True", "float32")
    assert host == ours
    assert "FP16" in host


@pytest.mark.parametrize(
    ("cls", "layout"),
    [(DOConv2D, "NHWC"), (DOConv3D, "NDHWC"), (DOConv2DTranspose, "NHWC")],
    ids=["conv", "3d", "transposed"],
)
def test_channels_last_composes_the_same_kernel(cls: type[DOConvNd], layout: str) -> None:
    """On a CPU the host has the layer but not its operator, so the kernel is what can be seen."""
    options = {"groups": 2, "D_mul": 30, "in_channels": 4}
    first, last = cls(6, 2, **options), cls(6, 2, layout=layout, **options)
    for layer in (first, last):
        layer.initialize()
    disturb(first)
    last.D.set_data(first.D.data())
    for ours, theirs in ((last.weight, first.weight), (last.W_extra, first.W_extra)):
        ours.set_data(np.moveaxis(theirs.data().asnumpy(), 1, -1))
    expected = np.moveaxis(first.composed_kernel().asnumpy(), 1, -1)
    np.testing.assert_array_equal(last.composed_kernel().asnumpy(), expected)
    np.testing.assert_array_equal(get_state(last)[""].W, get_state(first)[""].W)
    folded = np.moveaxis(first.fold().weight.data().asnumpy(), 1, -1)
    np.testing.assert_array_equal(last.fold().weight.data().asnumpy(), folded)


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize(
    ("cls", "expected"),
    [(DOConv2D, (2, 6, 5, 6)), (DOConv2DTranspose, (2, 10, 9, 6))],
    ids=["conv", "transposed"],
)
def test_channels_last_shapes_are_right_for_a_device_that_has_the_operator(
    cls: type[DOConvNd], expected: tuple[int, ...], composition: str
) -> None:
    layer = cls(6, 3, groups=2, layout="NHWC", in_channels=4, composition=composition, D_mul=12)
    _, (shape,), _ = layer(mx.sym.var("data")).infer_shape(data=(2, 8, 7, 4))
    assert shape == expected


@pytest.fixture
def numpy_mode() -> Iterator[None]:
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


@pytest.mark.usefixtures("numpy_mode")
@pytest.mark.parametrize("in_channels", [0, 4], ids=["deferred", "known"])
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_layers_work_in_numpy_mode(cls: type[DOConvNd], hybridized: bool, in_channels: int) -> None:
    ours, host = (c(8, 3, in_channels=in_channels, activation="relu") for c in (cls, cls.host))
    x = mx.np.ones((2, 4, 6, 6))
    for layer in (ours, host):
        layer.initialize(mx.init.One())
        layer.hybridize(hybridized)
        with mx.autograd.record():
            y = layer(x)
        y.backward()
    assert isinstance(ours(x), mx.np.ndarray)
    assert isinstance(ours.composed_kernel(), mx.np.ndarray)
    np.testing.assert_array_equal(ours(x).asnumpy(), host(x).asnumpy())
    np.testing.assert_array_equal(ours.weight.grad().asnumpy(), host.weight.grad().asnumpy())
    assert ours.D.grad().asnumpy().any()


@pytest.mark.parametrize("in_channels", [0, 512], ids=["deferred", "known"])
@pytest.mark.parametrize(
    ("cls", "D_mul"), [(DOConv2D, None), (DOConv2D, 14), (DOConv2DTranspose, 14)]
)
def test_no_intermediate_is_larger_than_W(
    cls: type[DOConvNd], D_mul: int | None, in_channels: int
) -> None:
    """The official layer tiles D: 81 MiB for each such layer, where W has 9."""
    layer = cls(512, 3, in_channels=in_channels, D_mul=D_mul)
    graph = layer(mx.sym.var("data")).get_internals()
    shapes = graph.infer_shape(data=(1, 512, 4, 4))[1]
    sizes = {name: int(np.prod(s)) for name, s in zip(graph.list_outputs(), shapes, strict=True)}
    largest = max(size for name, size in sizes.items())
    assert largest == 512 * 512 * (D_mul or 9)  # W itself, which S > K puts together


def test_a_kernel_is_one_product() -> None:
    layer = DOConv2D(8, 3, in_channels=4)
    nodes = json.loads(layer(mx.sym.var("data")).tojson())["nodes"]
    operators = [node["op"] for node in nodes if node["op"] not in ("null", "Reshape")]
    assert operators == ["transpose", "_linalg_gemm", "transpose", "Convolution"]


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_a_batch_in_prediction_mode_changes_nothing_for_the_next(
    cls: type[DOConvNd], composition: str
) -> None:
    """oneDNN reorders a weight in prediction mode; a composed kernel must not notice."""
    layer = cls(16, 3, in_channels=16, composition=composition)
    layer.initialize()
    disturb(layer)
    x = mx.nd.ones((2, 16, 6, 6))
    results = []
    for _ in range(3):
        predicted = layer(x).asnumpy()
        with mx.autograd.record():
            y = layer(x)
        y.backward()
        results.append([predicted, y.asnumpy(), layer.D.grad().asnumpy()])
    for later in results[1:]:
        for first, again in zip(results[0], later, strict=True):
            np.testing.assert_array_equal(first, again)
