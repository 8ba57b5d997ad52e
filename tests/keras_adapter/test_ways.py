"""The same bits whichever way Keras runs a layer: eager, traced, or compiled by XLA.

The star of tests holds the eager layer against the oracle. Here the other ways and Keras's own
geometry ("same", "causal", both data formats) are held against the host's layer with the kernel
of the core, on integers, for which every correct implementation is bitwise equal.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_core import compose_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_tf.layers.arrays import read_W
from doconv_tf.layers.hosts import HOSTS
from tests.keras_adapter.autodiff import WAYS, forward, pull_back, to_numpy
from tests.keras_adapter.helpers import BACKEND, HOST_NAMES, arguments, image, randomize
from tests.star.oracles.conv import Oracle

every_host = pytest.mark.parametrize("name", HOST_NAMES)
every_way = pytest.mark.parametrize("how", WAYS)
CLASSES = {host.__name__: (host, layer) for host, layer in HOSTS.items()}
DATA_FORMATS = ["channels_last", "channels_first"]


def pair(name: str, x: np.ndarray, **more: Any) -> tuple[Any, Any]:
    """A DO-Conv layer with random integers, and the host's with the kernel of the core."""
    host, cls = CLASSES[name]
    ours_only = {key: more.pop(key) for key in ("D_mul", "composition") if key in more}
    layer = cls(**arguments(name, **more), **ours_only)
    plain = host(**arguments(name, **more))
    layer.build(x.shape)
    plain.build(x.shape)
    randomize(layer, kind="integer")
    kernel = compose_kernel(layer.spec, read_W(layer), to_numpy(layer.D))
    rest = [to_numpy(v) for v in layer.variables if v.name in ("pointwise_kernel", "bias")]
    plain.set_weights([from_canonical(layer.spec, kernel, layer.layout), *rest])
    return layer, plain


@every_way
@pytest.mark.parametrize("composition", ["kernel", "feature"])
@every_host
def test_forward_is_bitwise_the_plain_layer_s(name: str, composition: str, how: str) -> None:
    x = image(name)
    layer, plain = pair(name, x, D_mul=27, composition=composition)
    np.testing.assert_array_equal(forward(layer, x, how), forward(plain, x))


@every_way
@pytest.mark.parametrize("name", ["Conv2D", "DepthwiseConv2D", "Conv2DTranspose"])
def test_gradients_are_bitwise_the_oracle_s(name: str, how: str) -> None:
    x = image(name)
    layer, _ = pair(name, x, D_mul=8)
    oracle, first = Oracle(layer.spec), np.moveaxis(x, -1, 1)
    W, D = read_W(layer), to_numpy(layer.D)
    above = np.random.default_rng(2).integers(-3, 4, oracle(first, W, D).shape)
    expected = oracle.gradients(first, W, D, above)

    weight = keras.ops.convert_to_tensor(np.moveaxis(above, 1, -1).astype(np.float32))
    grad_x, grads = pull_back(layer, lambda x: keras.ops.sum(layer(x) * weight), how)(x)
    by_name = {v.name: grad for v, grad in zip(layer.variables, grads, strict=True)}
    columns = [to_canonical(layer.spec, by_name[n], layer.layout) for n in ("kernel", "W_extra")]
    np.testing.assert_array_equal(np.moveaxis(grad_x, -1, 1), expected.x)
    np.testing.assert_array_equal(np.concatenate(columns, axis=2), expected.W)
    np.testing.assert_array_equal(by_name["D"], expected.D)
    np.testing.assert_array_equal(by_name["bias"], expected.bias)


GEOMETRIES = {
    "valid": {"padding": "valid"},
    "same": {"padding": "same"},
    "same-strides": {"padding": "same", "strides": 2},
    "different-strides": {"padding": "same", "strides": (1, 2)},
    "same-dilation": {"padding": "same", "dilation_rate": 2},
    "groups": {"groups": 2, "padding": "same"},
    "depthwise-by-groups": {"groups": 4, "filters": 8},
    "causal": {"padding": "causal", "strides": 2},
    "causal-dilation": {"padding": "causal", "dilation_rate": 2},
    "output-padding": {"strides": 2, "output_padding": 1},
    "no-bias": {"use_bias": False},
}


def takes(name: str, geometry: dict[str, Any]) -> bool:
    if isinstance(geometry.get("strides"), tuple):
        return name in ("Conv2D", "Conv2DTranspose")
    if "groups" in geometry:
        return name in ("Conv1D", "Conv2D", "Conv3D")
    if geometry.get("padding") == "causal":
        return name == "Conv1D"
    return "output_padding" not in geometry or name.endswith("Transpose")


TAKEN = [(n, g) for n in HOST_NAMES for g in GEOMETRIES if takes(n, GEOMETRIES[g])]


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize(("name", "geometry"), TAKEN, ids=["-".join(pair) for pair in TAKEN])
def test_the_host_s_geometry(name: str, geometry: str, composition: str, data_format: str) -> None:
    more, x = GEOMETRIES[geometry], image(name, data_format)
    layer, plain = pair(name, x, **more, composition=composition, data_format=data_format)
    np.testing.assert_array_equal(forward(layer, x), forward(plain, x))


@pytest.mark.parametrize("name", ["Conv2D", "SeparableConv2D"])
def test_an_input_size_that_is_not_known_when_traced(name: str) -> None:
    x = image(name)
    layer, plain = pair(name, x)
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), forward(plain, x))


@pytest.mark.skipif(
    BACKEND == "tensorflow", reason="TensorFlow 2.21's own Conv2D fails on zero images on the CPU"
)
def test_a_batch_of_zero_images() -> None:
    layer = doconv_tf.DOConv2D(6, 3)
    assert tuple(layer(keras.ops.zeros((0, 8, 8, 4))).shape) == (0, 6, 6, 6)


def test_the_adapter_names_no_backend() -> None:
    package = Path(doconv_tf.__file__).parent
    imported = {
        name.split(".")[0]
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert "keras" in imported
    assert not imported & {"tensorflow", "jax", "torch", "doconv_torch", "doconv_gluon"}
