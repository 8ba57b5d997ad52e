"""Each layer as a Keras layer: signature, config, variables, errors, and Keras's own checks."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src import testing

import doconv_tf
from doconv_core import messages
from doconv_tf import messages as keras_messages
from doconv_tf.layers.do_conv import LAYERS
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    LAYER_NAMES,
    arguments,
    image,
    randomize,
    rank_of,
    values,
)

every_class = pytest.mark.parametrize("cls", LAYERS, ids=LAYER_NAMES)


class _KerasChecks(testing.TestCase):
    __test__ = False  # called below, for each class

    def runTest(self) -> None:
        raise NotImplementedError


KERAS_CHECKS = [
    *((cls, {}) for cls in LAYERS),
    (doconv_tf.DOConv2D, {"D_mul": 14, "groups": 2, "use_bias": False}),
    (doconv_tf.DOConv2D, {"composition": "feature"}),
    (doconv_tf.DOConv1D, {"padding": "causal", "dilation_rate": 2}),
]


# Keras 3.15's own check passes fit a generator without shuffle=False.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize(
    ("cls", "more"), KERAS_CHECKS, ids=[f"{c.__name__}-{'-'.join(m)}" for c, m in KERAS_CHECKS]
)
def test_keras_s_own_checks(cls: Any, more: dict[str, Any]) -> None:
    """Serialization, build, symbolic and eager call, one fit step, mixed precision."""
    checks = _KerasChecks()
    checks.setUp()
    host = cls.host(**{k: v for k, v in arguments(cls.__name__, **more).items() if k in _host(cls)})
    x = image(cls.__name__)
    D_mul, K = more.get("D_mul"), int(np.prod(host.kernel_size))
    checks.run_layer_test(
        cls,
        init_kwargs=arguments(cls.__name__, **more),
        input_shape=x.shape,
        expected_output_shape=host.compute_output_shape(x.shape),
        expected_num_trainable_weights=len(_built(host, x).weights) + 1 + bool(D_mul and D_mul > K),
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=False,
        run_training_check=True,
    )
    checks.tearDown()


def _host(cls: Any) -> list[str]:
    return list(inspect.signature(cls.host.__init__).parameters)


def _built(layer: Any, x: np.ndarray) -> Any:
    layer.build(x.shape)
    return layer


@every_class
def test_the_signature_is_the_host_s_and_our_keywords(cls: Any) -> None:
    ours, host = inspect.signature(cls).parameters, inspect.signature(cls.host.__init__).parameters
    names = [name for name in host if name not in ("self", "kwargs")]
    added = {"D_mul": None, "composition": "kernel", "D_init": "identity", "W_extra_init": "zeros"}
    assert list(ours) == [*names, *added, "kwargs"]
    assert [ours[name].default for name in names] == [host[name].default for name in names]
    assert {name: ours[name].default for name in added} == added
    assert {ours[name].kind for name in added} == {inspect.Parameter.KEYWORD_ONLY}


# A value other than the default for every argument of every host.
NOT_DEFAULT: dict[str, Any] = {
    "filters": 6,
    "kernel_size": 2,
    "strides": 2,
    "padding": "same",
    "output_padding": 1,
    "data_format": "channels_first",
    "dilation_rate": 2,
    "groups": 2,
    "depth_multiplier": 2,
    "activation": "relu",
    "use_bias": False,
    "lora_rank": None,
    "dtype": "mixed_bfloat16",
    "trainable": False,
    "name": "mine",
} | {
    f"{part}_{kind}": value
    for part in ("kernel", "bias", "depthwise", "pointwise", "activity")
    for kind, value in {
        "initializer": "he_normal",
        "regularizer": "l2",
        "constraint": "non_neg",
    }.items()
}


@every_class
def test_no_argument_is_dropped_on_the_way_there_and_back(cls: Any) -> None:
    names = [name for name in inspect.signature(cls.host).parameters if name != "kwargs"]
    given = {name: NOT_DEFAULT[name] for name in (*names, "dtype", "trainable", "name")}
    if "strides" in given and "output_padding" not in names:
        given["strides"] = 1  # Keras has no strides with dilation
    if "output_padding" in names:
        given["dilation_rate"] = 1
    host = cls.host(**given)
    host.build((None, 4, *(8,) * rank_of(cls.__name__)))
    converted = cls.from_conv(host, D_mul=30)
    config = converted.get_config()
    assert config.pop("D_mul") == 30
    assert config.pop("composition") == "kernel"
    assert config == host.get_config()
    if "output_padding" in names:  # which Keras 3.10 to 3.14 leave out of the config
        assert converted.output_padding == converted.fold().output_padding == host.output_padding
    assert converted.fold().get_config() == host.get_config()
    assert type(converted.fold()) is cls.host


@every_class
@pytest.mark.parametrize("composition", ["kernel", "feature"])
def test_config_round_trip(cls: Any, composition: str) -> None:
    layer = cls(**arguments(cls.__name__), D_mul=20, composition=composition, name="mine")
    again = cls.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.D_mul, again.composition) == (20, composition)


@every_class
def test_the_new_layer_computes_what_the_plain_one_does(cls: Any) -> None:
    given = arguments(cls.__name__, kernel_initializer="he_normal")
    if "filters" not in given or "pointwise" in str(inspect.signature(cls.host)):
        given.pop("kernel_initializer")
    layer, x = cls(**given, D_mul=29), image(cls.__name__)
    y = run_layer(layer, x)
    plain = cls.host(**given)
    plain.build(x.shape)
    count = len(plain.weights)
    plain.set_weights(values(layer)[:count])
    np.testing.assert_array_equal(y, run_layer(plain, x))


def run_layer(layer: Any, x: np.ndarray) -> np.ndarray:
    return to_numpy(layer(keras.ops.convert_to_tensor(x)))


@every_class
def test_the_variables_have_the_names_and_paths_of_the_host(cls: Any) -> None:
    layer = cls(**arguments(cls.__name__), D_mul=29, name="mine")
    host = cls.host(**arguments(cls.__name__), name="mine")
    for each in (layer, host):
        each.build(image(cls.__name__).shape)
    ours, theirs = ([v.path for v in each.variables] for each in (layer, host))
    assert ours == [*theirs, "mine/D", "mine/W_extra"]
    assert [v.shape for v in layer.variables][: len(theirs)] == [v.shape for v in host.variables]


def test_a_kernel_of_one_element_has_no_D_and_keeps_its_variable() -> None:
    layer = doconv_tf.DOConv2D(6, 1, D_mul=4)
    layer.build((None, 5, 5, 4))
    assert layer.D is None
    assert layer.W_extra is None
    assert layer.kernel is layer._kernel


def test_free_columns_start_as_the_host_s_initializer_draws_and_the_others_at_zero() -> None:
    layer = doconv_tf.DOConv2D(64, 3, D_mul=9 * 2 + 4, kernel_initializer="he_normal")
    layer.build((None, 8, 8, 32))
    extra, kernel = to_numpy(layer.W_extra), to_numpy(layer._kernel)
    assert extra.shape == (13, 32, 64)
    assert not extra[:9].any()
    assert extra[9:].std() == pytest.approx(kernel.std(), rel=0.05)
    assert not np.array_equal(extra[9:], kernel.reshape(9, 32, 64)[:4])


def test_a_regularizer_acts_on_W_and_W_extra_and_a_constraint_on_W() -> None:
    layer = doconv_tf.DOConv2D(
        4, 2, D_mul=6, kernel_regularizer=keras.regularizers.L2(1.0), kernel_constraint="non_neg"
    )
    layer.build((None, 5, 5, 3))
    randomize(layer)
    W, extra = to_numpy(layer._kernel), to_numpy(layer.W_extra)
    total = float(to_numpy(sum(layer.losses)))
    assert total == pytest.approx(float((W**2).sum() + (extra**2).sum()), rel=1e-5)
    assert [v.name for v in layer.variables if v.constraint is not None] == ["kernel"]
    assert [v.name for v in layer.variables if v.regularizer is not None] == ["kernel", "W_extra"]


def test_trainable_reaches_every_variable() -> None:
    layer = doconv_tf.DOConv2D(4, 2, D_mul=6, trainable=False)
    layer.build((None, 5, 5, 3))
    assert layer.trainable_variables == []
    layer.trainable = True
    assert len(layer.trainable_variables) == 4


def test_an_activation_and_its_regularizer_act_in_both_forms() -> None:
    given = {"filters": 4, "kernel_size": 2, "activation": "relu", "activity_regularizer": "l2"}
    x = image("DOConv2D")
    layer = doconv_tf.DOConv2D(**given)
    y = run_layer(layer, x)
    twin = doconv_tf.DOConv2D(**given, composition="feature")
    twin.build(x.shape)
    twin.set_weights(values(layer))
    np.testing.assert_allclose(run_layer(twin, x), y, rtol=1e-5, atol=1e-5)
    assert y.min() == 0
    np.testing.assert_allclose(*(to_numpy(each.losses[0]) for each in (layer, twin)), rtol=1e-5)


ERRORS = {
    "D_mul-too-small": (
        {"D_mul": 8},
        ValueError,
        messages.layer.D_mul_too_small(8, (3, 3), 9),
    ),
    "D_mul-not-positive": ({"D_mul": 0}, ValueError, messages.layer.not_positive("D_mul", 0)),
    "D_mul-not-an-integer": ({"D_mul": 9.5}, TypeError, messages.layer.not_positive("D_mul", 9.5)),
    "composition": (
        {"composition": "kernels"},
        ValueError,
        messages.layer.bad_composition("kernels"),
    ),
    "dtype": ({"dtype": "int32"}, TypeError, messages.layer.bad_dtype("int32")),
    "dtype-complex": ({"dtype": "complex64"}, TypeError, messages.layer.bad_dtype("complex64")),
    "quantized": (
        {"dtype": "int8_from_float32"},
        TypeError,
        messages.layer.bad_dtype("int8_from_float32"),
    ),
    "lora": (
        {"lora_rank": 2, "name": "conv"},
        ValueError,
        keras_messages.no_lora("conv", "DOConv2D"),
    ),
}


@pytest.mark.parametrize(("given", "kind", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_at_construction(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        doconv_tf.DOConv2D(6, 3, **given)


def test_the_host_s_own_errors_stay_the_host_s() -> None:
    with pytest.raises(ValueError, match="evenly divisible by the number of groups"):
        doconv_tf.DOConv2D(4, 3, groups=3)
    with pytest.raises(ValueError, match="number of input channels must be evenly divisible"):
        doconv_tf.DOConv2D(6, 3, groups=3).build((None, 8, 8, 4))


@pytest.mark.integration("enable_lora", convert="refused: fold first", fold="fold first")
def test_lora_is_refused_on_a_layer_and_works_on_the_folded_one() -> None:
    layer = doconv_tf.DOConv2D(6, 3, name="conv")
    layer.build((None, 8, 8, 4))
    with pytest.raises(ValueError, match=re.escape(keras_messages.no_lora("conv", "DOConv2D"))):
        layer.enable_lora(2)
    folded = layer.fold()
    folded.enable_lora(2)
    assert len(folded.trainable_variables) == 3


def test_the_kernel_of_a_layer_that_is_not_built_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = doconv_tf.DOConv2D(6, 3).kernel


PACKAGE = Path(doconv_tf.__file__).parent
FILES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_docstring_examples_are_true(file: Path) -> None:
    module = importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module)
    assert bool(result.attempted) == (">>>" in (PACKAGE.parent / file).read_text())
    assert not result.failed
