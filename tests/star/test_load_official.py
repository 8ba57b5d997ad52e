"""The authors' checkpoints in a model of any framework, held against their layers' own rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doconv_core import DOConvSpec
from tests.core.test_official import INEXPRESSIBLE, KERNEL, SPECS, every_case, stored
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Case, arrays, case
from tests.star.oracles.conv import Oracle

Checkpoint = dict[str, np.ndarray]

KEYS = {"torch": ("W", "D", "bias"), "tf": ("kernel:0", "D:0", "bias:0"),
        "gluon": ("weight", "D", "bias")}  # fmt: skip


def layer_case(name: str, **more: Any) -> Case:
    spec = SPECS[name]
    given = {"groups": spec.groups, "D_mul": spec.S, **more}
    channels = (spec.in_channels, spec.out_channels)
    return case(name, channels, spec.kernel_size, (5, 6), **given)


def checkpoint(source: str, name: str) -> tuple[Checkpoint, np.ndarray]:
    """A checkpoint of a single layer, of integers; and what its plain kernel is."""
    W, D = (np.rint(2 * array) for array in stored(source, SPECS[name]))
    bias = np.arange(SPECS[name].out_channels, dtype=np.float64)
    return dict(zip(KEYS[source], (W, D, bias), strict=True)), KERNEL[source](SPECS[name], W, D)


def check_output(backend: Backend, layer: Any, case: Case, kernel: np.ndarray) -> None:
    """Bitwise: the official kernel in a plain convolution."""
    spec, x = case.spec, arrays(case).x
    plain = DOConvSpec(spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups)
    expected = Oracle(plain)(x, kernel, None, np.arange(spec.out_channels))
    np.testing.assert_array_equal(backend.forward(layer, x), expected)


@every_case
def test_an_over_parameterized_layer_computes_what_the_official_one_does(
    backend: Backend, source: str, name: str
) -> None:
    case = layer_case(name)
    layer = backend.layer(case, arrays(case))
    theirs, kernel = checkpoint(source, name)
    if source == "torch" and name in INEXPRESSIBLE:
        before = backend.state(layer)
        with pytest.raises(ValueError, match="import it folded, into a plain convolution"):
            backend.load_official(layer, theirs, source)
        assert_same(backend.state(layer), before)
        return
    backend.load_official(layer, theirs, source)
    check_output(backend, layer, case, kernel)
    assert backend.state(layer).D.any()  # W and D themselves, to be trained further


@every_case
def test_a_plain_layer_takes_the_folded_kernel(backend: Backend, source: str, name: str) -> None:
    case = layer_case(name)
    plain = backend.plain(case, np.zeros(case.spec.kernel_shape, np.float32), arrays(case).bias)
    theirs, kernel = checkpoint(source, name)
    backend.load_official(plain, theirs, source)
    check_output(backend, plain, case, kernel)


@pytest.mark.parametrize("source", ["torch", "tf"])
def test_a_1x1_layer_has_W_only(backend: Backend, source: str) -> None:
    spec = DOConvSpec(4, 6, (1, 1), groups=2)
    pointwise = case("pointwise", (4, 6), (1, 1), (5, 6), groups=2)
    W = np.arange(12.0).reshape(spec.W_shape)
    keys = (KEYS[source][0], KEYS[source][2])
    values = (W if source == "torch" else W.transpose(2, 1, 0), np.arange(6.0))
    theirs = dict(zip(keys, values, strict=True))
    for layer in (
        backend.layer(pointwise, arrays(pointwise)),
        backend.plain(pointwise, np.zeros(spec.kernel_shape, np.float32), arrays(pointwise).bias),
    ):
        backend.load_official(layer, theirs, source)
        check_output(backend, layer, pointwise, W)


def assert_same(ours: Any, theirs: Any) -> None:
    for name in ("W", "D", "bias"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


CONV, _ = checkpoint("torch", "conv")
ERRORS: dict[str, tuple[Case, Checkpoint, str, str]] = {
    "another source": (layer_case("conv"), CONV, "caffe", "must be one of 'torch', 'tf', 'gluon'"),
    "no such layer in it": (layer_case("conv"), {}, "torch", r"missing=\[''\], unexpected=\[\]"),
    "no such layer here": (
        layer_case("conv"),
        {**CONV, **{f"other.{key}": array for key, array in CONV.items()}},
        "torch",
        r"missing=\[\], unexpected=\['other'\]",
    ),
    "another D_mul": (layer_case("conv", D_mul=10), CONV, "torch", "must fit the model's"),
    "other groups": (layer_case("grouped"), CONV, "torch", "must fit the model's"),
    "other channels": (layer_case("rectangular"), CONV, "torch", "9 elements in all"),
    "another kernel size": (layer_case("copies"), CONV, "torch", "9 elements in all"),
    "no bias here": (layer_case("conv", bias=False), CONV, "torch", "model_bias=False"),
    "transposed": (layer_case("conv", transposed=True), CONV, "torch", "transposed=True"),
}


@pytest.mark.parametrize(
    ("case", "theirs", "source", "message"), ERRORS.values(), ids=ERRORS.keys()
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    backend: Backend, case: Case, theirs: Checkpoint, source: str, message: str
) -> None:
    layer = backend.layer(case, arrays(case))
    before = backend.state(layer)
    with pytest.raises(ValueError, match=message):
        backend.load_official(layer, theirs, source)
    assert_same(backend.state(layer), before)


@pytest.mark.parametrize("more", [{"transposed": True}, {"bias": False}], ids=str)
def test_what_does_not_fit_a_plain_layer_is_refused(backend: Backend, more: Any) -> None:
    case = layer_case("conv", D_mul=None, **more)
    kernel, bias = np.zeros(case.spec.kernel_shape, np.float32), arrays(case).bias
    plain = backend.plain(case, kernel, bias)
    with pytest.raises(ValueError, match="must fit the model's"):
        backend.load_official(plain, CONV, "torch")
    np.testing.assert_array_equal(backend.kernel(plain), kernel)


def test_of_another_framework_only_its_layers_can_be_loaded(backend: Backend) -> None:
    case = layer_case("conv")
    layer = backend.layer(case, arrays(case))
    source = "gluon" if backend.name == "torch" else "torch"
    theirs, _ = checkpoint(source, "conv")
    with pytest.raises(ValueError, match=r"Received: others=\['norm.gamma'\]"):
        backend.load_official(layer, {**theirs, "norm.gamma": np.ones(6)}, source)
