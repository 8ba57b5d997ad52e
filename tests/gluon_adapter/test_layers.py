"""A DO-Conv layer is used exactly as its host layer is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import DOConv2D, DOConv2DTranspose
from doconv_gluon.layers.do_conv import DOConvNd
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import CLASSES, IDS, disturb, in_child, nn
from tests.star.backends.backend_gluon import ndarray

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
    own = ["D_mul", "composition", "D_init", "W_extra_init"]
    assert [p.name for p in parameters[len(theirs) :]] == [*own, rest.name]
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


def test_groups_0_is_an_error_and_not_the_end_of_the_process() -> None:
    names = [ours.__name__ for ours, _ in CLASSES]
    code = (
        f"from doconv_gluon import {', '.join(names)}\n"
        f"for Layer in ({', '.join(names)}):\n"
        "    try:\n        Layer(4, 3, groups=0, in_channels=4)\n"
        "    except ValueError as error:\n        print(error)"
    )
    told = "`groups` must be a positive integer. Received: groups=0."
    assert in_child(code).splitlines() == [told] * len(names)


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
