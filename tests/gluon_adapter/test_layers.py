"""A DO-Conv layer is used exactly as its host layer is."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import compose_kernel
from doconv_core.spec import DOConvSpec
from doconv_gluon import DOConv2D, DOConv2DTranspose, DOConv3D, get_state
from doconv_gluon._compat import mx
from doconv_gluon.layers import DOConvNd
from tests.backend_gluon import ndarray
from tests.gluon_adapter.helpers import CLASSES, IDS, disturb, in_child, nn

every_class = pytest.mark.parametrize(("ours", "host"), CLASSES, ids=IDS)

ARGUMENTS = {
    "strides": {"strides": (2, 3)},
    "padding": {"padding": (2, 1)},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2},
    "rectangular": {"kernel_size": (1, 4)},
    "integers": {"kernel_size": 2, "strides": 2, "padding": 1, "dilation": 2},
    "no-bias": {"use_bias": False},
    "activation": {"activation": "relu"},
    "initializers": {"weight_initializer": "ones", "bias_initializer": "ones"},
    "prefix": {"prefix": "mine_"},
}
TRANSPOSED_ARGUMENTS = {**ARGUMENTS, "output-padding": {"strides": 3, "output_padding": (1, 2)}}
TABLE = [
    pytest.param(cls, arguments, id=f"{cls.__name__}-{name}")
    for cls, table in [(DOConv2D, ARGUMENTS), (DOConv2DTranspose, TRANSPOSED_ARGUMENTS)]
    for name, arguments in table.items()
]


@every_class
def test_the_signature_is_the_host_s_then_ours(ours: type, host: type) -> None:
    *theirs, rest = inspect.signature(host).parameters.values()
    parameters = list(inspect.signature(ours).parameters.values())
    assert parameters[: len(theirs)] == theirs
    assert [p.name for p in parameters[len(theirs) :]] == ["D_mul", "composition", rest.name]
    assert {p.kind for p in parameters[len(theirs) : -1]} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(("cls", "arguments"), TABLE)
def test_at_birth_the_layer_is_the_host_s_layer(
    cls: type[DOConvNd], arguments: dict[str, Any]
) -> None:
    given = {"kernel_size": 3, "in_channels": 4, **arguments}
    ours, host = cls(6, **given), cls.host(6, **given)  # type: ignore[call-arg]
    for layer in (ours, host):
        mx.random.seed(0)
        layer.initialize(mx.init.Xavier())
    x = ndarray(np.random.default_rng(0).normal(size=(2, 4, 9, 8)).astype(np.float32))
    np.testing.assert_array_equal(ours(x).asnumpy(), host(x).asnumpy())


def test_positional_arguments_mean_what_they_mean_to_the_host() -> None:
    # The official layer took D_mul fourth, where a convolution has its padding.
    arguments = (6, (3, 2), (2, 1), (1, 2), (2, 1), 2, "NCHW", "relu", False, "ones", "zeros", 4)
    ours, host = DOConv2D(*arguments), nn.Conv2D(*arguments)
    assert ours._kwargs == host._kwargs
    assert ours.weight.shape == host.weight.shape
    assert repr(ours) == "DO" + repr(host)[:-1] + ", D_mul=6)"


ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "groups-0": ({"groups": 0}, ValueError, "`groups` must be a positive integer. .* groups=0"),
    "groups-in": ({"groups": 3}, ValueError, "`groups` must divide `in_channels`. .* groups=3"),
    "groups-out": (
        {"groups": 4, "in_channels": 0},
        ValueError,
        "`groups` must divide `out_channels`. .* groups=4, out_channels=6",
    ),
    "groups-type": ({"groups": 1.0}, TypeError, "`groups` must be a positive integer"),
    "D_mul": ({"D_mul": 8}, ValueError, "`D_mul` must be at least .* D_mul=8"),
    "D_mul-type": ({"D_mul": "9"}, TypeError, "`D_mul` must be a positive integer"),
    "D_mul-deferred": ({"D_mul": 8, "in_channels": 0}, ValueError, "`D_mul` must be at least"),
    "kernel_size": ({"kernel_size": (3, 0)}, ValueError, "`kernel_size` must hold .* positive"),
    "in_channels": ({"in_channels": -1}, ValueError, "`in_channels` must be a positive integer"),
    "channels": ({"channels": 0}, ValueError, "`out_channels` must be a positive integer"),
    "composition": ({"composition": "both"}, ValueError, '`composition` must be "kernel" or'),
    "feature": (
        {"composition": "feature", "in_channels": 0},
        ValueError,
        '`in_channels` must be given for composition="feature"',
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_a_mistake_is_an_error_at_construction(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"channels": 6, "kernel_size": 3, "in_channels": 4, **arguments}
    with pytest.raises(error, match=message):
        DOConv2D(**given)


@every_class
def test_groups_0_is_an_error_and_not_the_end_of_the_process(ours: type, host: type) -> None:
    code = (
        f"from doconv_gluon import {ours.__name__} as Layer\n"
        "try:\n    Layer(4, 3, groups=0, in_channels=4)\n"
        "except ValueError as error:\n    print(error)"
    )
    assert in_child(code) == "`groups` must be a positive integer. Received: groups=0."


# --- input channels that are not known yet -------------------------------------------------

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


def test_sizes_that_are_not_known_yet_are_an_error_to_ask_for() -> None:
    with pytest.raises(ValueError, match="initialize the model and run one batch first"):
        _ = DOConv2D(8, 3).spec


# --- initialization ------------------------------------------------------------------------


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


# --- Gluon's own habits --------------------------------------------------------------------


def test_parameters_have_the_host_s_names_plus_D() -> None:
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(DOConv2D(8, 3), nn.Conv2D(8, 3), DOConv2D(8, 3, use_bias=False, D_mul=10))
    assert list(net.collect_params()) == [
        "net_conv0_weight", "net_conv0_bias", "net_conv0_D",
        "net_conv1_weight", "net_conv1_bias",
        "net_conv2_weight", "net_conv2_D", "net_conv2_W_extra",
    ]  # fmt: skip


def test_layers_can_share_parameters() -> None:
    first = DOConv2D(4, 3, in_channels=4, D_mul=12)
    second = DOConv2D(4, 3, in_channels=4, D_mul=12, params=first.params)
    for name in ("weight", "bias", "D", "W_extra"):
        assert getattr(first, name) is getattr(second, name)


@pytest.mark.parametrize("D_mul", [None, 12])
def test_save_and_load_parameters(tmp_path: Path, D_mul: int | None) -> None:
    def build() -> Any:
        net = nn.HybridSequential()
        net.add(DOConv2D(8, 3, D_mul=D_mul), DOConv2D(4, 2, in_channels=8))
        return net

    path, net, x = str(tmp_path / "net.params"), build(), mx.nd.ones((1, 3, 6, 6))
    net.initialize()
    net(x)
    disturb(net)
    net.save_parameters(path)
    again = build()
    again.load_parameters(path)
    np.testing.assert_array_equal(again(x).asnumpy(), net(x).asnumpy())


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_export_and_import(tmp_path: Path, cls: type) -> None:
    path, layer = str(tmp_path / "layer"), cls(8, 3, in_channels=4, D_mul=10)
    layer.initialize()
    disturb(layer).hybridize()
    x = mx.nd.ones((1, 4, 6, 6))
    expected = layer(x).asnumpy()
    layer.export(path)
    block = mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    np.testing.assert_array_equal(block(x).asnumpy(), expected)


def test_the_host_s_summary_counts_every_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    layer = DOConv2D(8, 3, in_channels=4)
    layer.initialize()
    layer.summary(mx.nd.ones((1, 4, 6, 6)))
    shown = capsys.readouterr().out
    assert f"Total params: {8 * 4 * 9 + 8 + 4 * 9 * 9}" in shown


@pytest.mark.parametrize("way", ["imperative", "hybridized", "static"])
@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_gradients_add_up_where_asked_to(cls: type, composition: str, way: str) -> None:
    layer = cls(4, 3, in_channels=2, D_mul=10, composition=composition)
    layer.initialize()
    disturb(layer)
    x, gradients = mx.nd.ones((1, 2, 5, 5)), []
    for request, times in (("write", 1), ("add", 2)):
        layer.collect_params().setattr("grad_req", request)
        layer.collect_params().zero_grad()
        layer.hybridize(way != "imperative", static_alloc=way == "static")
        for _ in range(times):
            with mx.autograd.record():
                y = layer(x)
            y.backward()
        gradients.append([p.grad().asnumpy() for p in layer.collect_params().values()])
    for once, twice in zip(*gradients, strict=True):
        np.testing.assert_allclose(2 * once, twice, rtol=1e-5, atol=1e-5)
        assert once.any()


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("frozen", ["weight", "D", "W_extra", "bias"])
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_freezing_one_parameter_leaves_the_others_gradients(
    cls: type, frozen: str, hybridized: bool
) -> None:
    layer = cls(4, 3, in_channels=2, D_mul=10)
    layer.initialize()
    disturb(layer)
    x, gradients = mx.nd.ones((1, 2, 5, 5)), []
    others = [name for name in ("weight", "D", "W_extra", "bias") if name != frozen]
    for request in ("write", "null"):
        getattr(layer, frozen).grad_req = request
        layer.hybridize(hybridized)
        with mx.autograd.record():
            y = layer(x)
        y.backward()
        gradients.append([getattr(layer, name).grad().asnumpy() for name in others])
    for free, alone in zip(*gradients, strict=True):
        np.testing.assert_array_equal(free, alone)
        assert free.any()


# --- precision, layouts, memory ------------------------------------------------------------


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
from doconv_gluon._compat import mx
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
@pytest.mark.parametrize("cls", [DOConv2D, DOConv2DTranspose])
def test_channels_last_shapes_are_right_for_a_device_that_has_the_operator(
    cls: type[DOConvNd], composition: str
) -> None:
    if cls is DOConv2DTranspose:
        pytest.skip("the host's Deconvolution infers no shape for channels last on a CPU")
    layer = cls(6, 3, groups=2, layout="NHWC", in_channels=4, composition=composition, D_mul=12)
    _, (shape,), _ = layer(mx.sym.var("data")).infer_shape(data=(2, 8, 7, 4))
    assert shape == (2, 6, 5, 6)


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
    """No array of W's size is transposed or copied beside it."""
    layer = DOConv2D(8, 3, in_channels=4)
    graph = layer(mx.sym.var("data"))
    nodes = [n["op"] for n in json.loads(graph.tojson())["nodes"] if n["op"] != "null"]
    assert [op for op in nodes if op not in ("Reshape", "transpose")] == [
        "_linalg_gemm",
        "Convolution",
    ]
    assert nodes.count("transpose") == 1  # D's


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
