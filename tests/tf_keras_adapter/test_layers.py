"""The layers: the host's in everything, however tf_keras runs them."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import doconv_tf_keras
from doconv_core import compose_kernel, fold_kernel, messages
from doconv_core.kernel.layout import from_canonical
from doconv_tf_keras.layers.arrays import read_W
from doconv_tf_keras.layers.do_conv import LAYERS
from tests.tf_keras_adapter.helpers import (
    CLASSES,
    LAYER_NAMES,
    arguments,
    image,
    own_name,
    randomize,
    run,
)

every_host = pytest.mark.parametrize("name", CLASSES)
every_class = pytest.mark.parametrize("cls", LAYERS, ids=LAYER_NAMES)
WAYS = {
    "eager": lambda call: call,
    "graph": tf.function,
    "xla": lambda call: tf.function(call, jit_compile=True),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def pair(name: str, x: np.ndarray, **more: Any) -> tuple[Any, Any]:
    """A DO-Conv layer with random integers, and the host's with the kernel of the core."""
    host, cls = CLASSES[name]
    ours_only = {key: more.pop(key) for key in ("D_mul", "composition") if key in more}
    layer = cls(**arguments(name, **more), **ours_only)
    plain = host(**arguments(name, **more))
    layer.build(x.shape)
    plain.build(x.shape)
    randomize(layer, kind="integer")
    kernel = compose_kernel(layer.spec, read_W(layer), layer.D.numpy())
    rest = [v.numpy() for v in layer.variables if own_name(v) in ("pointwise_kernel", "bias")]
    plain.set_weights([from_canonical(layer.spec, kernel, layer.layout), *rest])
    return layer, plain


@every_way
@pytest.mark.parametrize("composition", ["kernel", "feature"])
@every_host
def test_forward_is_bitwise_the_plain_layer_s(name: str, composition: str, way: Any) -> None:
    x = image(name)
    layer, plain = pair(name, x, D_mul=27, composition=composition)
    np.testing.assert_array_equal(way(layer)(tf.constant(x)), plain(x))


GEOMETRIES = {
    "same": {"padding": "same"},
    "same-strides": {"padding": "same", "strides": 2},
    "different-strides": {"padding": "same", "strides": (1, 2)},
    "same-dilation": {"padding": "same", "dilation_rate": 2},
    "groups": {"groups": 2, "padding": "same"},
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
    if "dilation_rate" in geometry and name.endswith("Transpose"):
        return False  # in 1 and 3 dimensions the host has none on a CPU; in 2, see the star
    if geometry.get("padding") == "causal":
        return name in ("Conv1D", "SeparableConv1D")
    return "output_padding" not in geometry or name.endswith("Transpose")


TAKEN = [(n, g) for n in CLASSES for g in GEOMETRIES if takes(n, GEOMETRIES[g])]


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize(("name", "geometry"), TAKEN, ids=["-".join(pair) for pair in TAKEN])
def test_the_host_s_geometry(name: str, geometry: str, composition: str) -> None:
    x = image(name)
    layer, plain = pair(name, x, **GEOMETRIES[geometry], composition=composition)
    np.testing.assert_array_equal(run(layer, x), run(plain, x))


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@pytest.mark.parametrize("name", ["Conv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_an_input_size_that_is_not_known_when_traced(name: str, composition: str) -> None:
    x = image(name)
    layer, plain = pair(name, x, composition=composition)
    inputs = tf_keras.Input((None, None, 4))
    model = tf_keras.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain(x))


@every_class
def test_at_birth_it_is_the_plain_layer(cls: Any) -> None:
    x = image(cls.__name__)
    layer = cls(**arguments(cls.__name__), D_mul=27)
    layer(x)
    plain = cls.host(**arguments(cls.__name__))
    plain(x)
    plain.set_weights([v.numpy() for v in layer.variables if own_name(v) not in ("D", "W_extra")])
    np.testing.assert_array_equal(run(layer, x), run(plain, x))
    assert not layer.D.numpy().any()
    free = layer.spec.free_columns
    assert layer.W_extra.numpy()[-free:].any()
    assert not layer.W_extra.numpy()[:-free].any()


@every_class
def test_arguments_are_the_host_s_then_ours(cls: Any) -> None:
    theirs = list(inspect.signature(cls.host).parameters)
    assert list(inspect.signature(cls).parameters) == [
        *theirs[:-1], "D_mul", "composition", "D_init", "W_extra_init", theirs[-1],
    ]  # fmt: skip


@every_class
def test_the_config_rebuilds_the_layer(cls: Any) -> None:
    given = arguments(cls.__name__, activation="relu")
    layer = cls(**given, name="mine", D_mul=30, composition="feature")
    again = cls.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.D_mul, again.composition, again.name) == (30, "feature", "mine")


def test_variables_are_called_as_the_layer_is() -> None:
    ours = doconv_tf_keras.DOConv2D(6, 3, D_mul=10, name="conv")
    theirs = tf_keras.layers.Conv2D(6, 3, name="conv")
    for layer in (ours, theirs):
        layer(image("Conv2D"))
    doconv_tf_keras.convert(theirs, D_mul=10, inplace=True)
    for layer in (ours, theirs):
        assert [v.name for v in layer.variables] == [
            "conv/kernel:0", "conv/bias:0", "conv/D:0", "conv/W_extra:0",
        ]  # fmt: skip


def test_regularizers_act_on_W_and_W_extra_and_leave_with_them() -> None:
    layer = doconv_tf_keras.DOConv2D(6, 3, D_mul=10, kernel_regularizer="l2", name="conv")
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), layer])
    randomize(model)
    W, extra = (0.01 * np.sum(v.numpy() ** 2) for v in (layer._kernel, layer.W_extra))
    np.testing.assert_allclose(sorted(float(loss) for loss in model.losses), sorted([W, extra]),
                               rtol=1e-5)  # fmt: skip
    doconv_tf_keras.fold(model, inplace=True)
    assert len(model.losses) == 1


ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "D_mul": ({"D_mul": 8}, ValueError, messages.layer.D_mul_too_small(8, (3, 3), 9)),
    "composition": ({"composition": "x"}, ValueError, messages.layer.bad_composition("x")),
    "dtype": ({"dtype": "int32"}, TypeError, messages.layer.bad_dtype("int32")),
}


@pytest.mark.parametrize(("given", "kind", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_at_construction(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        doconv_tf_keras.DOConv2D(6, 3, **given)


def test_the_kernel_of_a_layer_that_is_not_built_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = doconv_tf_keras.DOConv2D(6, 3).kernel


# --- mixed precision -----------------------------------------------------------------------

every_policy = pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])


@every_policy
@every_class
def test_under_a_mixed_policy_the_output_is_the_folded_layer_s(cls: Any, policy: str) -> None:
    x = image(cls.__name__)
    layer = cls(**arguments(cls.__name__), D_mul=27, dtype=policy)
    layer.build(x.shape)
    randomize(layer, kind="integer")
    for variable in layer.variables:
        variable.assign(variable / 8)  # still exact in float32, and no longer in bfloat16
    assert {v.dtype.name for v in layer.variables} == {"float32"}
    folded = layer.fold()
    assert folded.dtype_policy.name == policy
    ours, theirs = layer(x), folded(x)
    assert ours.dtype.name == layer.compute_dtype
    np.testing.assert_array_equal(tf.cast(ours, "float32"), tf.cast(theirs, "float32"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_variables_of_another_type_stay_of_that_type(dtype: str) -> None:
    layer = doconv_tf_keras.DOConv2D(6, 3, dtype=dtype)
    layer.build((None, 8, 8, 4))
    randomize(layer)
    folded = layer.fold()
    assert {v.dtype.name for v in (*layer.variables, *folded.variables)} == {dtype}
    D = np.array(layer.D.numpy(), np.float64)
    expected = fold_kernel(layer.spec, read_W(layer), D, dtype)
    kernel = np.array(folded.kernel.numpy(), np.float64)
    np.testing.assert_array_equal(kernel, from_canonical(layer.spec, expected, layer.layout))


# --- documentation -------------------------------------------------------------------------

PACKAGE = Path(doconv_tf_keras.__file__).parent
FILES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_docstring_examples_are_true(file: Path) -> None:
    module = importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module)
    assert bool(result.attempted) == (">>>" in (PACKAGE.parent / file).read_text())
    assert not result.failed
