"""A transposed convolution with a computed kernel can be trained, wherever it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.deconvolution import _as_convolution
from tests.gluon_adapter.helpers import disturb, in_child, nn
from tests.star.backends.backend_gluon import ndarray

LAYOUTS = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    ndim = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    stride = sizes(1, 3)
    return {
        "kernel": sizes(1, 4),
        "stride": stride,
        # The host has no dilated form in three dimensions.
        "dilate": sizes(1, 3) if ndim < 3 else (1, 1, 1),
        "pad": sizes(0, 1),
        "adj": tuple(draw(st.integers(0, s - 1)) for s in stride),
        "num_group": draw(st.sampled_from([1, 2])),
        "num_filter": 4,
        "no_bias": True,
        "layout": LAYOUTS[ndim],
    }


@given(geometries(), st.integers(0, 2**31))
def test_the_other_form_is_the_same_function(arguments: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(3, 6, len(arguments["kernel"])))
    outputs = arguments["num_filter"] // arguments["num_group"]
    x = ndarray(rng.integers(-3, 4, (2, 4, *size)).astype(np.float32))
    kernel = rng.integers(-3, 4, (4, outputs, *arguments["kernel"])).astype(np.float32)
    expected = mx.nd.Deconvolution(x, ndarray(kernel), **arguments)
    actual = _as_convolution(mx.nd, x, ndarray(kernel), arguments)
    np.testing.assert_array_equal(actual.asnumpy(), expected.asnumpy())


@pytest.mark.parametrize("way", ["imperative", "hybridized", "static"])
@pytest.mark.parametrize("channels", [8, 16])
def test_gradients_are_the_folded_network_s_between_other_layers(channels: int, way: str) -> None:
    """oneDNN gives the arrays between such layers layouts of its own."""
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(channels, 3, padding=1, in_channels=3),
        nn.Conv2DTranspose(channels, 3, padding=1, in_channels=channels),
        nn.Conv2D(channels, 3, padding=1, in_channels=channels),
        nn.Conv2DTranspose(channels, 2, strides=2, in_channels=channels),
        nn.Conv2D(channels, 1, in_channels=channels),
    )
    net.initialize(mx.init.Xavier())
    net = disturb(convert(net, where=lambda name, layer: name in ("1", "3")))
    plain = fold(net)
    if way != "imperative":
        net.hybridize(static_alloc=way == "static", static_shape=way == "static")
    rng = np.random.default_rng(0)
    x = ndarray(rng.normal(size=(2, 3, 8, 8)).astype(np.float32))
    grad_y = ndarray(rng.normal(size=(2, channels, 16, 16)).astype(np.float32))

    def run(model: Any) -> list[np.ndarray]:
        with mx.autograd.record():
            y = model(x)
        y.backward(grad_y)
        shared = [model[i].weight.grad() for i in (0, 2, 4)]
        biases = [model[i].bias.grad() for i in (1, 3)]
        return [array.asnumpy() for array in (y, *shared, *biases)]

    expected = run(plain)
    first = None
    for _ in range(5):
        for ours, theirs in zip(run(net), expected, strict=True):
            assert abs(ours - theirs).max() <= 1e-5 * abs(theirs).max()
        gradients = [net[i].D.grad().asnumpy() for i in (1, 3)]
        first = first or gradients
        for now, then in zip(gradients, first, strict=True):
            np.testing.assert_array_equal(now, then)


def test_the_host_still_cannot_differentiate_a_computed_kernel() -> None:
    """If this fails, the workaround is no longer needed. It may end the process, hence a child."""
    code = """
import os
from doconv_gluon.mxnet import mx
x, kernel = mx.nd.ones((1, 4, 5, 5)), mx.nd.ones((4, 8, 3, 3))
kernel.attach_grad()
with mx.autograd.record():
    y = mx.nd.Deconvolution(x, kernel * 1, kernel=(3, 3), num_filter=8, no_bias=True)
try:
    y.backward()
    kernel.grad.asnumpy()
except mx.base.MXNetError as error:
    print(error, flush=True)
os._exit(0)
"""
    assert "could not execute a primitive" in in_child(code)
