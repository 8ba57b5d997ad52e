"""CondConv layers of Gluon: their host's arguments, evaluations, files and precision."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import CondConv1D, CondConv2D, CondConv3D, Routing, get_state, set_state
from doconv_gluon.layers import condconv as condconv_base
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.condconv import images, trained
from tests.gluon_adapter.helpers import nn
from tests.star.backends.backend_gluon import ndarray

CLASSES = [(CondConv1D, nn.Conv1D), (CondConv2D, nn.Conv2D), (CondConv3D, nn.Conv3D)]
every_class = pytest.mark.parametrize(("ours", "host"), CLASSES, ids=lambda cls: cls.__name__)
every_evaluation = pytest.mark.parametrize("evaluation", ["auto", "kernels", "outputs"])


@every_class
def test_signature_is_the_host_s_and_then_ours(ours: Any, host: Any) -> None:
    *theirs, rest = inspect.signature(host).parameters
    names = list(inspect.signature(ours).parameters)
    assert names == [*theirs, "num_experts", "routing", "routing_bias", "evaluation", "D_mul", rest]


@pytest.mark.parametrize("own", [None, "normal", mx.init.Normal(2.0)], ids=["net", "str", "object"])
@pytest.mark.parametrize("in_channels", [0, 4], ids=["deferred", "known"])
@every_class
def test_experts_are_drawn_one_by_one_as_the_host_draws_its_own(
    ours: Any, host: Any, in_channels: int, own: Any
) -> None:
    """The same numbers as of four host layers, one after the other."""
    given = {"in_channels": 4, "weight_initializer": own, "bias_initializer": "ones"}
    layer = ours(6, 3, num_experts=4, D_mul="K", **{**given, "in_channels": in_channels})
    mx.random.seed(0)
    layer.initialize(mx.init.Xavier())
    layer(images(4, ndim=len(layer.form.kernel_size)))
    mx.random.seed(0)
    for e in range(4):
        conv = host(6, 3, **given)
        conv.initialize(mx.init.Xavier())
        np.testing.assert_array_equal(
            layer.weight.data()[e].asnumpy(), conv.weight.data().asnumpy()
        )
        np.testing.assert_array_equal(layer.bias.data()[e].asnumpy(), 1)
    assert not layer.D.data().asnumpy().any()


def test_columns_without_identity_are_drawn_like_one_expert_s_weight() -> None:
    layer = CondConv2D(64, 3, D_mul=9 + 9 + 4, in_channels=32)
    layer.initialize(mx.init.Xavier())
    extra, weight = layer.W_extra.data().asnumpy(), layer.weight.data().asnumpy()
    assert not extra[..., :9].any()
    for expert, drawn in zip(extra[..., 9:], weight, strict=True):
        assert 0.8 < expert.std() / drawn.std() < 1.25
    assert not np.array_equal(extra[0], extra[1])


ARGUMENTS: dict[str, dict[str, Any]] = {
    "padding": {"padding": 1, "dilation": 2},
    "strides": {"padding": (1, 2), "strides": (2, 1), "kernel_size": (4, 3)},
    "grouped": {"padding": 1, "groups": 2},
    "depthwise": {"padding": 1, "groups": 4, "channels": 8},
    "no-bias": {"use_bias": False},
    "activation": {"activation": "sigmoid"},
}


@every_evaluation
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_every_example_is_the_host_s_convolution_by_its_mixture(
    arguments: dict[str, Any], hybridized: bool, evaluation: str
) -> None:
    given = {"channels": 6, "kernel_size": 3, "in_channels": 4, **arguments}
    layer = trained(CondConv2D(**given, num_experts=3, evaluation=evaluation, D_mul=20))
    layer.hybridize(hybridized)
    conv, x = nn.Conv2D(**given), images(4)
    conv.initialize()
    y, kernels = layer(x), layer.composed_kernel()
    alpha = layer.routing(x)
    for n in range(len(x)):
        mixture = mx.nd.dot(alpha[n], kernels.reshape((3, -1))).reshape(kernels.shape[1:])
        conv.weight.set_data(mixture)
        if conv.bias is not None:
            conv.bias.set_data(mx.nd.dot(alpha[n], layer.bias.data()))
        expected = conv(x[n : n + 1]).asnumpy()
        np.testing.assert_allclose(y[n : n + 1].asnumpy(), expected, rtol=1e-4, atol=1e-4)


@every_evaluation
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("cls", "layout"), [(CondConv2D, "NHWC"), (CondConv3D, "NDHWC")])
def test_channels_last_computes_the_same_on_a_cpu_too(
    cls: Any, layout: str, groups: int, hybridized: bool, evaluation: str
) -> None:
    ndim = len(layout) - 2
    given = {"groups": groups, "D_mul": 3**ndim + 2, "evaluation": evaluation}
    first, last = trained(cls(6, 3, in_channels=4, **given)), cls(6, 3, layout=layout, **given)
    last.initialize()
    last.hybridize(hybridized)
    x = images(4, ndim=ndim)
    expected, moved = first(x).asnumpy(), ndarray(np.moveaxis(x.asnumpy(), 1, -1))
    last(moved)
    assert last.weight.shape == (4, 6, *(3,) * ndim, 4 // groups)
    state = get_state(first)
    set_state(last, state)
    np.testing.assert_array_equal(get_state(last)[""].W, state[""].W)
    y = np.moveaxis(last(moved).asnumpy(), -1, 1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    folded = np.moveaxis(last.fold()(moved).asnumpy(), -1, 1)
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-4)


def test_auto_mixes_kernels_but_for_a_few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for name in ("by_kernels", "by_columns", "by_outputs"):
        real = getattr(condconv_base, name)
        monkeypatch.setattr(
            condconv_base,
            name,
            lambda *args, name=name, real=real: seen.append(name) or real(*args),
        )
    layer = trained(CondConv2D(8, 3, padding=1, in_channels=8))
    layer(images(8, size=14))
    layer(images(8, size=1))
    trained(CondConv2D(8, 3, in_channels=8, evaluation="outputs"))(images(8, size=14))
    trained(CondConv2D(8, 3, strides=9, padding=1, in_channels=8))(images(8, size=9))
    layer.hybridize()
    layer(images(8, size=1))
    assert seen == ["by_kernels", "by_outputs", "by_outputs", "by_outputs", "by_columns"]


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_one_routing_for_the_layers_of_a_block(hybridized: bool) -> None:
    class Shared(mx.gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.routing = Routing(3)
            self.one, self.two = (CondConv2D(4, 3, num_experts=3, routing=False) for _ in "ab")

        def hybrid_forward(self, F: Any, x: Any) -> Any:
            alpha = self.routing(x)
            return self.two(self.one(x, alpha), alpha)

    block, x = Shared(), images(4)
    block.initialize()
    block.hybridize(hybridized)
    block(x)
    trained(block)
    with mx.autograd.record():
        y = block(x)
    y.backward()
    assert block.routing.weight.grad().asnumpy().any()
    assert list(block.one._collect_params_with_prefix()) == ["weight", "bias"]
    alpha = block.routing(x)
    np.testing.assert_allclose(
        block.two(block.one(x, alpha), alpha).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4
    )


def test_layers_can_share_their_parameters() -> None:
    first = CondConv2D(4, 3, padding=1, in_channels=4, D_mul=12)
    second = CondConv2D(4, 3, padding=1, in_channels=4, D_mul=12, params=first.collect_params())
    trained(first)
    assert second.W_extra is first.W_extra
    assert second.routing.weight is first.routing.weight
    x = images(4)
    np.testing.assert_array_equal(second(x).asnumpy(), first(x).asnumpy())


# --- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("D_mul", [9, 20], ids=["D_mul=K", "D_mul>K"])
def test_a_plain_file_loads_into_an_over_parameterized_layer(tmp_path: Path, D_mul: int) -> None:
    """As of every DO-Conv layer of this framework: with what is missing as it was drawn."""
    file, x = str(tmp_path / "file"), images(4)
    plain = trained(CondConv2D(6, 3, groups=2, in_channels=4))
    plain.save_parameters(file)
    layer = CondConv2D(6, 3, groups=2, D_mul=D_mul, in_channels=4)
    layer.initialize()
    layer.load_parameters(file, allow_missing=True)
    np.testing.assert_array_equal(layer(x).asnumpy(), plain(x).asnumpy())
    trained(layer).save_parameters(file)
    twin = CondConv2D(6, 3, groups=2, D_mul=D_mul)  # its input channels come with the file
    twin.load_parameters(file)
    np.testing.assert_array_equal(twin(x).asnumpy(), layer(x).asnumpy())
    folded = layer.fold()
    folded.save_parameters(file)
    plain.load_parameters(file)
    np.testing.assert_array_equal(plain(x).asnumpy(), folded(x).asnumpy())


# --- precision ---------------------------------------------------------------------------


@every_evaluation
def test_float64_stays_float64(evaluation: str) -> None:
    layer = trained(CondConv2D(6, 3, D_mul=11, in_channels=4, evaluation=evaluation))
    layer.cast("float64")
    x = images(4).astype("float64")
    layer(x)
    y, folded = layer(x), layer.fold()
    assert {y.dtype, folded.weight.data().dtype, layer.routing(x).dtype} == {np.float64}
    np.testing.assert_allclose(folded(x).asnumpy(), y.asnumpy(), rtol=1e-12, atol=1e-12)
    layer.hybridize()
    np.testing.assert_allclose(layer(x).asnumpy(), y.asnumpy(), rtol=1e-12, atol=1e-12)


def test_float16_is_composed_in_float32_and_rounded_once() -> None:
    layer = trained(CondConv2D(6, 3, D_mul=11, in_channels=4))
    exact = layer.fold()
    layer.cast("float16")
    kernels = layer.composed_kernel()
    assert kernels.dtype == np.float16
    np.testing.assert_allclose(
        kernels.asnumpy(), exact.weight.data().asnumpy(), rtol=2**-8, atol=2**-8
    )
