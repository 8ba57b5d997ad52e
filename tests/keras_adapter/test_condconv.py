"""CondConv layers of Keras: the host's arguments, how the experts start, and errors."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras.src import testing

from doconv_core import messages
from doconv_tf import CondConv1D, CondConv2D, CondConv3D, Routing
from doconv_tf.layers.condconv import CONDCONV_LAYERS
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import arguments, image, randomize
from tests.keras_adapter.test_layers import NOT_DEFAULT

every_class = pytest.mark.parametrize("cls", CONDCONV_LAYERS, ids=lambda cls: cls.__name__)


class _KerasChecks(testing.TestCase):
    __test__ = False  # called below, for each class

    def runTest(self) -> None:
        raise NotImplementedError


KERAS_CHECKS = [
    (CondConv1D, {"padding": "causal", "dilation_rate": 2}, 3),
    (CondConv2D, {"D_mul": 14, "groups": 2, "use_bias": False}, 4),
    (CondConv2D, {"evaluation": "outputs", "D_mul": "K"}, 4),
    (CondConv3D, {"num_experts": 2}, 3),
]


# Keras 3.15's own check passes fit a generator without shuffle=False.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize(
    ("cls", "more", "variables"), KERAS_CHECKS, ids=lambda each: getattr(each, "__name__", None)
)
def test_keras_s_own_checks(cls: Any, more: dict[str, Any], variables: int) -> None:
    """Serialization, build, symbolic and eager call, one fit step, mixed precision."""
    checks, x = _KerasChecks(), image(cls.__name__)
    given = arguments(cls.__name__, **more)
    checks.setUp()
    checks.run_layer_test(
        cls,
        init_kwargs=given,
        input_shape=x.shape,
        expected_output_shape=cls(**given).compute_output_shape(x.shape),
        expected_num_trainable_weights=variables,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=False,
        run_training_check=True,
    )
    checks.tearDown()


@every_class
def test_the_signature_is_the_host_s_and_then_ours(cls: Any) -> None:
    ours, host = inspect.signature(cls).parameters, inspect.signature(cls.host.__init__).parameters
    names = [name for name in host if name not in ("self", "kwargs")]
    added = ["num_experts", "routing", "routing_bias", "evaluation", "D_mul"]
    assert list(ours) == [*names, *added, "kwargs"]
    assert [ours[name].default for name in names] == [host[name].default for name in names]


@every_class
def test_no_argument_is_dropped_and_the_config_is_the_layer(cls: Any) -> None:
    names = [name for name in inspect.signature(cls.host).parameters if name != "kwargs"]
    given = {name: NOT_DEFAULT[name] for name in (*names, "dtype", "trainable", "name")}
    given["strides"] = 1  # Keras has no strides with dilation
    ours = {"num_experts": 3, "evaluation": "outputs", "D_mul": 30}
    for routing in ({"routing": False, "routing_bias": False}, {"routing_bias": True}):
        layer, host = cls(**given, **ours, **routing), cls.host(**given)
        expected = {**host.get_config(), **ours, "routing": True, **routing}
        assert layer.get_config() == expected
        again = cls.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
    assert cls(4, 3, D_mul="K").get_config()["D_mul"] == 3 ** int(cls.__name__[-2])


def test_making_a_layer_does_not_number_the_names_of_others() -> None:
    keras.backend.clear_session()
    assert [CondConv2D(4, 3).name, keras.layers.Conv2D(4, 3).name] == ["cond_conv2d", "conv2d"]


# --- how the experts start ---------------------------------------------------------------


@pytest.mark.parametrize(
    "initializer",
    [
        "he_normal",
        keras.initializers.HeNormal(seed=3),
        keras.initializers.HeNormal(seed=keras.random.SeedGenerator(3)),
        lambda shape, dtype: keras.random.normal(shape, 0, (2 / 288) ** 0.5, dtype),
    ],
    ids=["unseeded", "seeded", "generator", "function"],
)
def test_every_expert_is_drawn_by_itself_as_a_host_s_kernel(initializer: Any) -> None:
    layer = CondConv2D(64, 3, num_experts=3, D_mul=9 * 2 + 4, kernel_initializer=initializer)
    layer.build((None, 8, 8, 32))
    W, extra = to_numpy(layer._kernel), to_numpy(layer.W_extra)
    for drawn in (*W, *extra[:, 9:]):
        assert drawn.std() == pytest.approx((2 / 288) ** 0.5, rel=0.05)
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert (W[a] != W[b]).mean() > 0.99
    assert not extra[:, :9].any()
    assert not to_numpy(layer.D).any()


def test_the_first_expert_is_what_the_host_draws() -> None:
    initializer = keras.initializers.GlorotUniform(seed=5)
    layers = [cls(6, 3, kernel_initializer=initializer) for cls in (CondConv2D, CondConv2D.host)]
    for layer in layers:
        layer.build((None, 8, 8, 4))
    ours, host = (to_numpy(layer.kernel) for layer in layers)
    np.testing.assert_array_equal(ours[0], host)


def test_regularizers_and_constraints_act_on_one_expert_after_the_other() -> None:
    layer = CondConv2D(
        4, 2, num_experts=3, D_mul=6, kernel_constraint=keras.constraints.UnitNorm([0, 1, 2]),
        kernel_regularizer=keras.regularizers.L2(1.0), bias_regularizer="l1",
    )  # fmt: skip
    layer.build((None, 5, 5, 3))
    randomize(layer)
    own = [to_numpy(v) for v in (layer._kernel, layer.W_extra, layer.bias)]
    total = float(to_numpy(sum(layer.losses)))
    assert total == pytest.approx(
        (own[0] ** 2).sum() + (own[1] ** 2).sum() + abs(own[2]).sum() / 100
    )
    constrained = to_numpy(layer._kernel.constraint(layer._kernel))
    np.testing.assert_allclose((constrained**2).sum((1, 2, 3)), 1, rtol=1e-5)
    assert layer.D.regularizer is layer.D.constraint is None


# --- what is not allowed -----------------------------------------------------------------


def symbolic(*shape: int) -> Any:
    return keras.Input(shape)


ERRORS: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "no-alpha": (
        ValueError,
        messages.neighbours.alpha_needed(),
        lambda: CondConv2D(6, 3, routing=False)(np.zeros((2, 5, 5, 4))),
    ),
    "no-alpha-in-a-graph": (
        ValueError,
        messages.neighbours.alpha_needed(),
        lambda: CondConv2D(6, 3, routing=False)(symbolic(5, 5, 4)),
    ),
    "two-routings": (
        ValueError,
        messages.neighbours.alpha_not_taken(),
        lambda: CondConv2D(6, 3)(symbolic(5, 5, 4), symbolic(4)),
    ),
    "alpha-of-one-example": (
        ValueError,
        messages.layer.bad_shape("alpha", (1, 4), (2, 4)),
        lambda: CondConv2D(6, 3, routing=False)(np.zeros((2, 5, 5, 4)), np.zeros((1, 4))),
    ),
    "alpha-of-other-experts": (
        ValueError,
        messages.layer.bad_shape("alpha", (None, 3), (None, 4)),
        lambda: CondConv2D(6, 3, routing=False)(symbolic(5, 5, 4), symbolic(3)),
    ),
    "alpha-of-other-rank": (
        ValueError,
        messages.layer.bad_shape("alpha", (None, 4, 1), (None, 4)),
        lambda: CondConv2D(6, 3, routing=False)(symbolic(5, 5, 4), symbolic(4, 1)),
    ),
    "experts": (
        ValueError,
        messages.layer.not_positive("num_experts", 0),
        lambda: CondConv2D(6, 3, num_experts=0),
    ),
    "experts-of-a-routing": (
        TypeError,
        messages.layer.not_positive("num_experts", 2.5),
        lambda: Routing(2.5),
    ),
    "evaluation": (
        ValueError,
        messages.layer.bad_choice("evaluation", "feature", ("auto", "kernels", "outputs")),
        lambda: CondConv2D(6, 3, evaluation="feature"),
    ),
    "D_mul": (
        ValueError,
        messages.layer.D_mul_too_small(8, (3, 3), 9),
        lambda: CondConv2D(6, 3, D_mul=8),
    ),
    "D_mul-text": (
        ValueError,
        messages.neighbours.bad_expert_D_mul("S"),
        lambda: CondConv2D(6, 3, D_mul="S"),
    ),
    "groups": (
        ValueError,
        messages.layer.not_divisible("in_channels", 4, 3),
        lambda: CondConv2D(6, 3, groups=3).build((None, 8, 8, 4)),
    ),
    "dtype": (
        TypeError,
        messages.layer.bad_dtype("int32"),
        lambda: CondConv2D(6, 3, dtype="int32"),
    ),
    # the host's and Keras's own words
    "filters": (ValueError, "evenly divisible", lambda: CondConv2D(4, 3, groups=3)),
    "kernel": (ValueError, "zero or negative", lambda: CondConv2D(4, 3)(symbolic(2, 8, 4))),
    "lora": (ValueError, "Unrecognized keyword", lambda: CondConv2D(4, 3, lora_rank=2)),
    "no-filters": (TypeError, "missing a required argument", lambda: CondConv2D()),
    "channels": (
        ValueError,
        "expected axis -1",
        lambda: built(CondConv2D(4, 3))(np.zeros((1, 8, 8, 3))),
    ),
    "channels-of-a-routing": (
        ValueError,
        "expected axis -1",
        lambda: built(Routing(4))(np.zeros((1, 8, 8, 3))),
    ),
}


def built(layer: Any) -> Any:
    layer.build((None, 8, 8, 4))
    return layer


@pytest.mark.parametrize(("kind", "message", "call"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_not_allowed(
    kind: type[Exception], message: str, call: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_the_kernel_of_a_layer_that_is_not_built_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = CondConv2D(6, 3).kernel


@pytest.mark.parametrize("room", ["condconv", "routing"])
def test_the_docstring_examples_run(room: str) -> None:
    result = doctest.testmod(importlib.import_module(f"doconv_tf.{room}"))
    assert result.attempted
    assert not result.failed
