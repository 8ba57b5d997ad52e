"""What CondConv layers of Keras compute: the host's geometry, every way of running, precision."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import CondConv1D, CondConv2D, Routing
from doconv_tf.layers import condconv as condconv_base
from doconv_tf.layers.condconv import CONDCONV_LAYERS
from tests.keras_adapter.autodiff import WAYS, forward, pull_back, to_numpy
from tests.keras_adapter.helpers import BACKEND, arguments, image, randomize, values

every_evaluation = pytest.mark.parametrize("evaluation", ["kernels", "outputs"])
every_way = pytest.mark.parametrize("how", WAYS)


def built(layer: Any) -> Any:
    layer.build((None, 8, 8, 4))
    return layer


GEOMETRIES: dict[str, dict[str, Any]] = {
    "valid": {"strides": 2},
    "same": {"padding": "same", "activation": "relu"},
    "same-strides": {"padding": "same", "strides": 3},
    "same-strides-beyond-the-kernel": {"padding": "same", "strides": 4, "kernel_size": 2},
    "same-dilation": {"padding": "same", "dilation_rate": 2},
    "groups": {"groups": 2, "padding": "same", "use_bias": False},
    "depthwise": {"groups": 4},
    "causal": {"padding": "causal", "strides": 2},
    "causal-dilation": {"padding": "causal", "dilation_rate": 2},
}
TAKEN = [
    (cls, geometry)
    for cls in CONDCONV_LAYERS
    for geometry in GEOMETRIES
    if "causal" not in geometry or cls is CondConv1D
]


def mixed(layer: Any, alpha: np.ndarray, x: np.ndarray, **given: Any) -> np.ndarray:
    """Every example by the host's layer, with the mixture of the layer's kernels in NumPy."""
    outputs, kernels = [], to_numpy(layer.kernel)
    for one, mixture in zip(x, alpha, strict=True):
        host = type(layer).host(**given)
        host.build(x.shape)
        bias = [] if layer.bias is None else [mixture @ to_numpy(layer.bias)]
        host.set_weights([np.tensordot(mixture, kernels, axes=1), *bias])
        outputs.append(forward(host, one[None])[0])
    return np.stack(outputs)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@every_evaluation
@pytest.mark.parametrize(("cls", "geometry"), TAKEN, ids=[f"{c.__name__}-{g}" for c, g in TAKEN])
def test_every_example_is_the_host_s_layer_by_its_mixture(
    cls: Any, geometry: str, evaluation: str, data_format: str
) -> None:
    # More filters than any axis has positions: with as many, Keras 3.15 on TensorFlow adds the
    # host's bias along that axis.
    given = arguments(cls.__name__, filters=8, data_format=data_format, **GEOMETRIES[geometry])
    x = image(cls.__name__, data_format)
    alpha = np.array([[0.25, 1, 0.5], [0.75, 0, 0.25]], np.float32)
    D_mul = 14 if geometry == "groups" else None
    layer = cls(**given, num_experts=3, routing=False, evaluation=evaluation, D_mul=D_mul)
    layer.build(x.shape)
    randomize(layer, kind="integer")
    y = forward(lambda x: layer(x, keras.ops.convert_to_tensor(alpha)), x)
    np.testing.assert_array_equal(y, mixed(layer, alpha, x, **given))


@every_way
@every_evaluation
def test_any_way_of_running_gives_the_same(evaluation: str, how: str) -> None:
    """Output and gradients, eager, in a graph and by XLA: those of the eager layer."""
    x = image("Conv2D")
    layer = CondConv2D(6, 3, groups=2, num_experts=3, D_mul=11, evaluation=evaluation)
    layer.build(x.shape)
    randomize(layer)

    def loss(x: Any) -> Any:
        return keras.ops.sum(layer(x) ** 2)

    np.testing.assert_allclose(forward(layer, x, how), forward(layer, x), rtol=1e-4, atol=1e-4)
    (ours, grads), (theirs, eager) = (pull_back(layer, loss, each)(x) for each in (how, WAYS[0]))
    for a, b in zip((ours, *grads), (theirs, *eager), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * abs(b).max())
        assert abs(b).max() > 0


@every_evaluation
def test_a_graph_for_any_batch_and_any_size(evaluation: str) -> None:
    inputs = keras.Input((None, None, 4))
    # With a stride, the zeros of "same" depend on the size.
    layer = CondConv2D(6, 3, strides=2, padding="same", evaluation=evaluation, D_mul="K")
    model = keras.Model(inputs, layer(inputs))
    assert model.output.shape == (None, None, None, 6)
    for jit_compile in {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}[BACKEND]:
        model.compile(jit_compile=jit_compile)
        for size in (7, 8):
            x = np.random.default_rng(size).normal(size=(5, size, 9, 4)).astype(np.float32)
            y = model.predict(x, batch_size=2, verbose=0)  # batches of 2, 2 and 1
            np.testing.assert_allclose(y, forward(layer, x), rtol=1e-4, atol=1e-5)


def test_a_batch_of_no_images() -> None:
    layer = CondConv2D(6, 3, evaluation="kernels")  # TensorFlow's own convolution refuses none
    assert tuple(layer(keras.ops.zeros((0, 8, 8, 4))).shape) == (0, 6, 6, 6)


def test_as_many_examples_as_rows_have_their_own_biases() -> None:
    layer = CondConv2D(1, 1, num_experts=8, routing=False, bias_initializer="ones")
    x, alpha = np.zeros((8, 8, 3, 4), np.float32), np.diag(np.arange(8, dtype=np.float32))
    y = to_numpy(layer(x, alpha))
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(8)[:, None, None, None], y.shape))


def test_auto_mixes_kernels_but_for_a_few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for name in ("by_kernels", "by_outputs"):
        real = getattr(condconv_base, name)
        monkeypatch.setattr(
            condconv_base,
            name,
            lambda *args, name=name, real=real: seen.append(name) or real(*args),
        )
    for size, more in [
        (14, {"padding": "same"}),
        (1, {"padding": "same"}),
        (3, {}),
        (14, {"evaluation": "outputs"}),
        (9, {"strides": 9, "padding": "same", "data_format": "channels_first"}),
    ]:
        CondConv2D(8, 3, **more)(np.zeros((2, size, size, size), np.float32))
    assert seen == ["by_kernels", *["by_outputs"] * 4]


def test_one_routing_for_the_layers_of_a_block() -> None:
    x = inputs = keras.Input((8, 8, 4))
    alpha = Routing(3, name="shared")(x)
    for name in ("first", "second"):
        x = CondConv2D(4, 3, padding="same", num_experts=3, routing=False, name=name)(x, alpha)
    model = keras.Model(inputs, x)
    assert [v.path for v in model.variables] == [
        "shared/kernel", "first/kernel", "first/bias", "second/kernel", "second/bias"
    ]  # fmt: skip
    data = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    first, alone = model.get_layer("first"), CondConv2D(4, 3, padding="same", num_experts=3)
    alone.build(data.shape)
    alone.set_weights([*values(first), *values(model.get_layer("shared"))])
    y = forward(keras.Model(inputs, first.output), data)
    np.testing.assert_allclose(y, forward(alone, data), rtol=1e-5, atol=1e-5)
    vector = Routing(3)(np.zeros((2, 4), np.float32))
    np.testing.assert_array_equal(to_numpy(vector), np.full((2, 3), 0.5))


# --- precision ---------------------------------------------------------------------------


@every_evaluation
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_mixed_policy_mixes_in_float32_and_computes_what_the_folded_layer_does(
    policy: str, evaluation: str
) -> None:
    x = image("Conv2D")
    layer = built(CondConv2D(6, 3, D_mul=11, dtype=policy, evaluation=evaluation))
    randomize(layer)
    assert {v.dtype for v in layer.variables} == {"float32"}
    routed = layer.routing(keras.ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(routed.dtype) == "float32"
    y = layer(keras.ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    ours = to_numpy(keras.ops.cast(y, "float32"))
    folded = layer.fold()
    assert folded.dtype_policy.name == policy
    theirs = to_numpy(keras.ops.cast(folded(keras.ops.convert_to_tensor(x)), "float32"))
    np.testing.assert_allclose(ours, theirs, rtol=2**-7, atol=2**-7)
    exact = built(CondConv2D(6, 3, D_mul=11, dtype="float32"))
    exact.set_weights(values(layer))
    np.testing.assert_allclose(ours, forward(exact, x), rtol=2**-6, atol=2**-5)
    wide = built(CondConv2D(6, 3, dtype=policy, autocast=False))
    assert keras.backend.standardize_dtype(wide(x).dtype) == "float32"


NO_FLOAT64 = pytest.mark.skipif(BACKEND == "jax", reason="jax has float64 only where enabled")


@pytest.mark.parametrize("policy", ["bfloat16", pytest.param("float64", marks=NO_FLOAT64)])
def test_variables_of_another_type_stay_of_that_type(policy: str) -> None:
    layer = built(CondConv2D(6, 3, D_mul=11, dtype=policy))
    randomize(layer)
    folded = layer.fold()
    assert {v.dtype for v in (*layer.variables, *folded.variables)} == {policy}
    y = layer(image("Conv2D").astype(np.float64))
    assert keras.backend.standardize_dtype(y.dtype) == policy
