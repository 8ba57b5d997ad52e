"""The authors' checkpoints, against their three layers written again from the published rule.

D is always random: while it is zero, all their versions and ours coincide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doconv_core import DOConvSpec, compose_kernel
from doconv_core.kernel.initialization import identity
from doconv_core.official import OfficialLayer, read
from tests.star.oracles.conv import Oracle

Arrays = dict[str, np.ndarray]


# --- the official layers' kernels, (O, I/g, K), one element at a time ----------------------
# Each of them reshapes its W, in its own axis order, to one that has all I input channels, applies
# D channel by channel, and reshapes back. So an element of W meets the D of the channel that its
# position in memory says.


def official_torch(spec: DOConvSpec, W: np.ndarray, D: np.ndarray) -> np.ndarray:
    I, O, a_size = spec.in_channels, spec.out_channels, spec.in_channels // spec.groups
    kernel = np.zeros(spec.kernel_shape)
    for o in range(O):
        for a in range(a_size):
            channel = (o * a_size + a) % I  # W (O, I/g, S) seen as (O/g, I, S)
            kernel[o, a] = (D[channel] + identity(spec.K, spec.S)) @ W[o, a]
    return kernel


def official_tf(spec: DOConvSpec, kernel: np.ndarray, D: np.ndarray) -> np.ndarray:
    O, a_size = spec.out_channels, spec.in_channels // spec.groups
    composed = np.zeros(spec.kernel_shape)
    for o in range(O):
        for a in range(a_size):
            row = (a * O + o) // (O // spec.groups)  # kernel (S, I/g, O) seen as (S, I, O/g)
            composed[o, a] = (D[:, :, row] + identity(spec.K, spec.S)) @ kernel[:, a, o]
    return composed


def official_gluon(spec: DOConvSpec, weight: np.ndarray, D: np.ndarray) -> np.ndarray:
    kernel = weight.reshape(*weight.shape[:2], -1).transpose(2, 1, 0)
    return official_tf(spec, kernel, D)


KERNEL = {"torch": official_torch, "tf": official_tf, "gluon": official_gluon}
SPECS = {
    "conv": DOConvSpec(4, 6, (3, 3)),
    "rectangular": DOConvSpec(3, 5, (1, 4)),
    "copies": DOConvSpec(4, 6, (2, 2), D_mul=8),
    "free-columns": DOConvSpec(4, 6, (2, 3), D_mul=15),
    "grouped": DOConvSpec(4, 6, (3, 3), groups=2),
    "grouped-more": DOConvSpec(12, 6, (2, 2), groups=3),
    "grouped-free-columns": DOConvSpec(4, 8, (2, 2), groups=2, D_mul=7),
    "depthwise": DOConvSpec(4, 4, (3, 3), groups=4),
    "depthwise-free-columns": DOConvSpec(3, 3, (2, 2), groups=3, D_mul=6),
    "depthwise-multiplier": DOConvSpec(3, 6, (3, 3), groups=3),
}
INEXPRESSIBLE = {"grouped", "grouped-more", "grouped-free-columns", "depthwise-multiplier"}


def stored(source: str, spec: DOConvSpec, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """W and D as the source stores them, random."""
    rng = np.random.default_rng(0)
    O, a, S = spec.W_shape
    W_shape, D_shape = {
        "torch": (spec.W_shape, spec.D_shape),
        "tf": ((S, a, O), (spec.K, S, spec.in_channels)),
        "gluon": ((O, a, *spec.kernel_size), (spec.K, S, spec.in_channels)),
    }[source]
    return rng.normal(size=W_shape).astype(dtype), rng.normal(size=D_shape).astype(dtype)


NAMES = {  # how the source's own tools write a layer's keys
    "torch": ("stages.0.conv", "stages.0.conv.W", "stages.0.conv.D", "stages.0.conv.bias"),
    "tf": ("net/do_conv2d", "net/do_conv2d/kernel:0", "net/do_conv2d/D:0", "net/do_conv2d/bias:0"),
    "gluon": ("net0_conv0", "net0_conv0_weight", "net0_conv0_D", "net0_conv0_bias"),
}


def checkpoint(source: str, spec: DOConvSpec) -> tuple[Arrays, np.ndarray]:
    W, D = stored(source, spec)
    _, W_key, D_key, bias_key = NAMES[source]
    arrays = {W_key: W, D_key: D, bias_key: np.arange(spec.out_channels, dtype=np.float64)}
    return arrays, KERNEL[source](spec, W, D)


CASES = [
    (source, name)
    for source in KERNEL
    for name, spec in SPECS.items()
    if source != "gluon" or not spec.extra_columns  # official Gluon has D_mul = K only
]
every_case = pytest.mark.parametrize(("source", "name"), CASES, ids=[" ".join(c) for c in CASES])


def only(layers: dict[str, OfficialLayer], source: str) -> OfficialLayer:
    assert list(layers) == [NAMES[source][0]]
    return layers[NAMES[source][0]]


@every_case
def test_the_kernel_is_the_official_layer_s(source: str, name: str) -> None:
    arrays, expected = checkpoint(source, SPECS[name])
    layer = only(read(arrays, source), source)
    np.testing.assert_allclose(layer.kernel(), expected, rtol=1e-12, atol=1e-12)
    assert set(layer.keys) == set(arrays)


@every_case
def test_a_state_computes_what_the_official_layer_does(source: str, name: str) -> None:
    spec = SPECS[name]
    arrays, kernel = checkpoint(source, spec)
    layer = only(read(arrays, source), source)
    assert layer.expressible == (source != "torch" or name not in INEXPRESSIBLE)
    if not layer.expressible:
        with pytest.raises(ValueError, match=r"import it folded"):
            layer.state(spec.kernel_size)
        return
    state = layer.state(spec.kernel_size)
    assert state.spec == spec
    # the oracle: by feature composition, against the official kernel in a plain convolution
    x = np.random.default_rng(1).normal(size=(2, spec.in_channels, 5, 6))
    plain = Oracle(DOConvSpec(spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups))
    expected = plain(x, kernel, None, state.bias)
    np.testing.assert_allclose(Oracle(spec)(x, state.W, state.D, state.bias), expected, rtol=1e-10)


@pytest.mark.parametrize("name", sorted(INEXPRESSIBLE))
def test_what_is_called_inexpressible_is_not_our_layer(name: str) -> None:
    """Were it ours after all, refusing it would be a mistake that no other test sees."""
    spec = SPECS[name]
    W, D = stored("torch", spec)
    assert abs(official_torch(spec, W, D) - compose_kernel(spec, W, D)).max() > 0.1


@pytest.mark.parametrize("spelling", ["d_diag", "D_diag"])
def test_the_stored_identity_is_dropped(spelling: str) -> None:
    spec = SPECS["free-columns"]
    arrays, _ = checkpoint("torch", spec)
    diagonal = np.tile(identity(spec.K, spec.S), (spec.in_channels, 1, 1))
    arrays[f"stages.0.conv.{spelling}"] = diagonal
    layer = only(read(arrays, "torch"), "torch")
    np.testing.assert_array_equal(layer.D, arrays["stages.0.conv.D"])
    assert set(layer.keys) == set(arrays)


def test_a_stored_identity_that_was_trained_is_kept() -> None:
    spec = SPECS["conv"]
    arrays, _ = checkpoint("torch", spec)
    arrays["stages.0.conv.d_diag"] = np.tile(2 * identity(spec.K, spec.S), (spec.in_channels, 1, 1))
    state = only(read(arrays, "torch"), "torch").state((3, 3))
    whole = arrays["stages.0.conv.D"] + arrays["stages.0.conv.d_diag"]
    np.testing.assert_allclose(state.D + identity(spec.K, spec.S), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("source", ["torch", "tf"])
def test_a_1x1_layer_has_W_only(source: str) -> None:
    W = np.random.default_rng(0).normal(size=(6, 2))
    arrays = {NAMES[source][1]: W[:, :, None] if source == "torch" else W.T[None]}
    layer = only(read(arrays, source), source)
    assert (layer.kernel_size, layer.groups) == ((1, 1), None)
    np.testing.assert_array_equal(layer.kernel(), W[:, :, None])
    assert layer.state().spec == DOConvSpec(2, 6, (1, 1))
    assert layer.state(groups=3).spec == DOConvSpec(6, 6, (1, 1), groups=3)


def test_a_kernel_is_rounded_once_to_the_asked_type() -> None:
    arrays, expected = checkpoint("torch", SPECS["grouped"])
    layer = only(read(arrays, "torch"), "torch")
    kernel = layer.kernel("float16")
    assert kernel.dtype == np.float16
    np.testing.assert_array_equal(kernel, expected.astype("float16"))
    pointwise = read({"c.W": np.array([[[1 + 2.0**-8 + 2.0**-40]]])}, "torch")["c"]
    assert pointwise.kernel("bfloat16").item() == 1 + 2.0**-7


OTHERS: dict[str, tuple[str, Arrays]] = {
    "a plain layer": ("torch", {"conv.weight": np.ones((4, 2, 3, 3)), "conv.bias": np.ones(4)}),
    "a vector called D": ("torch", {"mixer.D": np.ones(4), "mixer.W": np.ones((4, 4))}),
    "a plain kernel": ("tf", {"conv/kernel:0": np.ones((3, 3, 2, 4)), "conv/bias:0": np.ones(4)}),
    "a plain weight": ("gluon", {"conv0_weight": np.ones((4, 2, 1, 1))}),
    "nothing": ("gluon", {}),
}


@pytest.mark.parametrize(("source", "arrays"), OTHERS.values(), ids=OTHERS.keys())
def test_arrays_of_other_layers_are_passed_over(source: str, arrays: Arrays) -> None:
    assert read(arrays, source) == {}


@pytest.mark.parametrize(
    ("layer", "D"),
    [("arg:conv0", "arg:conv0_D"), ("features.0", "features.0.D")],
    ids=["by name", "by structure"],
)
def test_gluon_names_parameters_in_two_ways(layer: str, D: str) -> None:
    W, offset = stored("gluon", SPECS["conv"])
    assert list(read({D.replace("D", "weight"): W, D: offset}, "gluon")) == [layer]


W, D = (np.ones(shape) for shape in (SPECS["conv"].W_shape, SPECS["conv"].D_shape))
ERRORS: dict[str, tuple[dict[str, Any], str, str]] = {
    "source": ({}, "caffe", "must be one of 'torch', 'tf', 'gluon'"),
    "no W": ({"c.D": D}, "torch", r"'c' .* must have W and D. Received: found=\['D'\]"),
    "no D": ({"c.W": W, "c.d_diag": D}, "torch", r"found=\['W', 'd_diag'\]"),
    "columns": ({"c.W": W[..., 1:], "c.D": D}, "torch", r"W.shape=\(6, 4, 8\)"),
    "too few columns": ({"c.W": W[..., 1:], "c.D": D[..., 1:]}, "torch", "fit each other"),
    "channels": ({"c.W": W[:, 1:], "c.D": D}, "torch", r"W.shape=\(6, 3, 9\), D.shape=\(4, 9, 9\)"),
    "outputs": ({"c.W": W[1:, 2:], "c.D": D}, "torch", "fit each other"),
}


@pytest.mark.parametrize(("arrays", "source", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_no_official_checkpoint_is_refused(
    arrays: Arrays, source: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(arrays, source)


@pytest.mark.parametrize("kernel_size", [None, (3,), (2, 4), (3, 3, 3)])
def test_a_kernel_size_is_needed_and_must_fit(kernel_size: Any) -> None:
    layer = read({"c.W": W, "c.D": D}, "torch")["c"]
    with pytest.raises(ValueError, match="'c' must have 9 elements in all"):
        layer.state(kernel_size)
    assert layer.state((1, 9)).spec.kernel_size == (1, 9)
