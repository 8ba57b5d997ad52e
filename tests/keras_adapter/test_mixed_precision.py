"""Mixed precision: float32 variables, composed in float32, deployed as trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical
from doconv_tf import convert, fold
from doconv_tf.layers.arrays import read_W
from doconv_tf.layers.do_conv import LAYERS
from tests.keras_adapter.autodiff import WAYS, forward, to_numpy
from tests.keras_adapter.helpers import BACKEND, LAYER_NAMES, arguments, image, randomize

every_policy = pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
every_class = pytest.mark.parametrize("cls", LAYERS, ids=LAYER_NAMES)
every_way = pytest.mark.parametrize("how", WAYS)


@every_way
@every_policy
@every_class
def test_the_output_is_the_folded_layer_s(cls: Any, policy: str, how: str) -> None:
    x = image(cls.__name__)
    layer = cls(**arguments(cls.__name__), D_mul=27, dtype=policy)
    layer.build(x.shape)
    randomize(layer, kind="integer")
    for variable in layer.variables:
        variable.assign(variable / 8)  # still exact in float32, and no longer in bfloat16
    assert {v.dtype for v in layer.variables} == {"float32"}
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == layer.compute_dtype
    ours = forward(lambda x: keras.ops.cast(layer(x), "float32"), x, how)
    folded = layer.fold()
    assert folded.dtype_policy.name == policy
    theirs = forward(lambda x: keras.ops.cast(folded(x), "float32"), x, how)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.integration("mixed precision", "train")
@every_policy
def test_the_kernel_is_composed_in_float32_and_rounded_once(policy: str) -> None:
    layer = doconv_tf.DOConv2D(32, 3, dtype=policy)
    layer.build((None, 8, 8, 16))
    randomize(layer)
    D = to_numpy(layer.D)
    layer.D.assign(D / 100)  # small beside the identity, as in training
    exact = fold_kernel(layer.spec, read_W(layer), D / 100, "float64")
    exact = from_canonical(layer.spec, exact, layer.layout)
    kernel = to_numpy(keras.ops.cast(layer.kernel, "float32"))
    once = to_numpy(keras.ops.cast(keras.ops.cast(exact, layer.compute_dtype), "float32"))
    # Equal but for the few elements where float32's own rounding crosses a middle.
    assert (kernel == once).mean() > 0.999
    eps = 2.0**-8 if policy == "mixed_bfloat16" else 2.0**-11
    assert (abs(kernel - exact) <= 1.01 * eps * abs(exact) + 1e-7).all()


NO_FLOAT64 = pytest.mark.skipif(BACKEND == "jax", reason="jax has float64 only where enabled")


@pytest.mark.parametrize(
    "policy", ["float16", "bfloat16", pytest.param("float64", marks=NO_FLOAT64)]
)
def test_variables_of_another_type_stay_of_that_type(policy: str) -> None:
    inputs = keras.Input((8, 8, 4), dtype=policy)
    conv = keras.layers.Conv2D(6, 3, dtype=policy)
    model = convert(keras.Model(inputs, conv(inputs)))
    layer = model.layers[1]
    assert {v.dtype for v in layer.variables} == {policy}
    randomize(layer)
    folded = fold(model).layers[1]
    assert {v.dtype for v in folded.variables} == {policy}
    expected = fold_kernel(layer.spec, read_W(layer), to_numpy(layer.D).astype(float), policy)
    kernel = to_numpy(folded.kernel).astype(np.float64)
    np.testing.assert_array_equal(kernel, from_canonical(layer.spec, expected, layer.layout))


@pytest.mark.integration("mixed precision", "convert", "fold")
@every_policy
def test_convert_and_fold_keep_autocast(policy: str) -> None:
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, keras.layers.DepthwiseConv2D(3, dtype=policy)(inputs))
    x = image("Conv2D")
    before = model.predict(x, verbose=0)
    assert str(before.dtype) == policy.removeprefix("mixed_")
    converted = convert(model)
    np.testing.assert_array_equal(converted.predict(x, verbose=0), before)
    folded = fold(converted)
    np.testing.assert_array_equal(folded.predict(x, verbose=0), before)
    assert converted.layers[1].D.dtype == "float32"


def test_a_layer_that_does_not_autocast_keeps_its_variables_precision() -> None:
    layer = doconv_tf.DOConv2D(6, 3, dtype="mixed_bfloat16", autocast=False)
    assert keras.backend.standardize_dtype(layer(image("Conv2D")).dtype) == "float32"
