"""The core: shapes, errors, initialization, composition and its gradients, folding, cost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import doconv_core
from doconv_core import (
    DOConvSpec,
    compose_kernel,
    compose_kernel_gradients,
    fold_kernel,
    identity,
    layer_cost,
    network_layers,
    over_parameterize,
)
from doconv_core.kernel.layout import LAYOUTS, from_canonical, to_canonical
from doconv_core.model.state import LayerState, check_state
from tests.star.cases.conv import CASES, Case, arrays, ids
from tests.star.oracles.conv import Oracle

every_case = pytest.mark.parametrize("case", CASES, ids=ids)


@st.composite
def specs(draw: st.DrawFn) -> DOConvSpec:
    groups = draw(st.integers(1, 3))
    kernel_size = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    return DOConvSpec(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        kernel_size,
        groups,
        int(np.prod(kernel_size)) + draw(st.integers(0, 12)),
        draw(st.booleans()),
    )


def integers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float64)


# --- the package stands alone --------------------------------------------------------------

FRAMEWORKS = ("torch", "tensorflow", "keras", "tf_keras", "jax", "mxnet", "gluoncv")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    root = Path(doconv_core.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_core_imports_no_framework() -> None:
    loaded = modules_after("import doconv_core, tests.star.oracles.conv, doconv_core.kernel.layout")
    ours = {"doconv_keras", "doconv_torch", "doconv_tf", "doconv_tf_keras", "doconv_gluon"}
    assert not loaded & {*FRAMEWORKS, "safetensors", *ours}


def test_what_lies_below_both_keras_adapters_imports_neither() -> None:
    root = Path(__file__).parents[2]
    files = (path.relative_to(root) for path in root.glob("doconv_keras/**/[!_]*.py"))
    loaded = modules_after(
        f"import {', '.join('.'.join(each.with_suffix('').parts) for each in files)}"
    )
    assert "doconv_keras" in loaded
    assert not loaded & {*FRAMEWORKS, "doconv_tf", "doconv_tf_keras"}


def test_the_test_above_can_fail(tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    loaded = modules_after(f"sys.path.insert(0, {str(tmp_path)!r}); import torch, doconv_core")
    assert loaded & {*FRAMEWORKS} == {"torch"}


# --- sizes and errors ----------------------------------------------------------------------


def test_shapes() -> None:
    spec = DOConvSpec(6, 4, (3, 2), groups=2, D_mul=8)
    assert (spec.K, spec.S, spec.extra_columns, spec.free_columns) == (6, 8, 2, 2)
    assert spec.W_shape == (4, 3, 8)
    assert spec.D_shape == (6, 6, 8)
    assert spec.kernel_shape == (4, 3, 6)


def test_equal_layers_have_equal_specs() -> None:
    assert DOConvSpec(2, 2, (3, 3)) == DOConvSpec(2, 2, (3, 3), D_mul=9)
    assert DOConvSpec(2, 2, (3, 3)) == DOConvSpec(2, 2, (3, 3), D_mul="K")
    assert DOConvSpec(2, 2, (1, 1)) == DOConvSpec(2, 2, (1, 1), D_mul=4)


@pytest.mark.parametrize(
    ("groups", "kind"), [(1, "DO-Conv"), (2, "DO-GConv"), (4, "DO-DConv")], ids=str
)
def test_kind(groups: int, kind: str) -> None:
    assert DOConvSpec(4, 4, (3,), groups).kind == kind


BAD_SPECS = {
    "S below K": ((4, 4, (3, 3), 1, 8), ValueError, "`D_mul` must be at least the number"),
    "zero D_mul": ((4, 4, (3, 3), 1, 0), ValueError, "`D_mul` must be a positive integer"),
    "zero D_mul of 1x1": ((4, 4, (1, 1), 1, 0), ValueError, "`D_mul` must be a positive integer"),
    "groups against in": ((4, 6, (3,), 3), ValueError, "`groups` must divide `in_channels`"),
    "groups against out": ((6, 4, (3,), 3), ValueError, "`groups` must divide `out_channels`"),
    "zero groups": ((4, 4, (3,), 0), ValueError, "`groups` must be a positive integer"),
    "no channels": ((0, 4, (3,)), ValueError, "`in_channels` must be a positive integer"),
    "half a channel": ((4, 2.5, (3,)), TypeError, "`out_channels` must be a positive integer"),
    "bool": ((True, 4, (3,)), TypeError, "`in_channels` must be a positive integer"),
    "zero kernel": ((4, 4, (3, 0)), ValueError, "`kernel_size` must hold one positive integer"),
    "scalar kernel": ((4, 4, 3), TypeError, "`kernel_size` must hold one positive integer"),
    "no dimensions": ((4, 4, ()), TypeError, "`kernel_size` must hold one positive integer"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_SPECS.values(), ids=BAD_SPECS)
def test_bad_sizes_name_the_argument_and_what_was_received(
    arguments: tuple, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}.*Received: "):
        DOConvSpec(*arguments)


# --- initialization ------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "S"), [(4, 4), (4, 8), (4, 11), (1, 1), (9, 10)])
def test_identity_is_copies_then_zero_columns(K: int, S: int) -> None:
    columns = identity(K, S).T
    for s in range(S):
        expected = np.eye(K)[s % K] if s < S // K * K else np.zeros(K)
        np.testing.assert_array_equal(columns[s], expected)


@given(specs())
def test_an_over_parameterized_kernel_composes_to_itself(spec: DOConvSpec) -> None:
    kernel = integers(spec.kernel_shape)
    free = integers((*spec.kernel_shape[:2], spec.free_columns), seed=1)
    W, D = over_parameterize(spec, kernel, free)
    np.testing.assert_array_equal(compose_kernel(spec, W, D), kernel)
    assert (D is None) == (spec.K == 1)


def test_free_columns_get_gradients_in_both_factors() -> None:
    """At birth W's gradient is zero there (D is), so D's must not be, or they never move."""
    spec = DOConvSpec(2, 3, (3,), D_mul=5)
    free = np.ones((3, 2, 2))
    W, D = over_parameterize(spec, integers(spec.kernel_shape), free)
    _, grad_D = compose_kernel_gradients(spec, W, D, np.ones(spec.kernel_shape))
    assert (grad_D[:, :, 3:] != 0).all()


# --- composition ---------------------------------------------------------------------------


def test_the_formula_by_loops() -> None:
    """The formula of DO-Conv as it is written, an index at a time."""
    spec = DOConvSpec(4, 6, (2, 2), groups=2, D_mul=9)
    W, D, I_K_S = integers(spec.W_shape), integers(spec.D_shape, 1), identity(4, 9)
    kernel = compose_kernel(spec, W, D)
    for o, a, k in np.ndindex(*spec.kernel_shape):
        c = o // 3 * 2 + a
        assert kernel[o, a, k] == sum((I_K_S[k, s] + D[c, k, s]) * W[o, a, s] for s in range(9))


@every_case
def test_kernel_composition_is_feature_composition(case: Case) -> None:
    """An impulse at each channel reads the kernel out of the oracle, which never builds one."""
    data, spec = arrays(case), case.spec
    kernel = compose_kernel(spec, data.W, data.D)
    impulses = np.zeros((spec.in_channels, spec.in_channels, *(1,) * case.ndim))
    impulses[np.arange(spec.in_channels), np.arange(spec.in_channels)] = 1
    transposed = DOConvSpec(
        spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups, spec.D_mul, True
    )
    # A transposed convolution of an impulse puts the kernel itself into the output.
    response = Oracle(transposed)(impulses, data.W, data.D)
    response = response.reshape(spec.in_channels, spec.out_channels, spec.K)
    for o, a in np.ndindex(*spec.kernel_shape[:2]):
        q = o // (spec.out_channels // spec.groups)
        channel = q * (spec.in_channels // spec.groups) + a
        np.testing.assert_array_equal(response[channel, o], kernel[o, a])


@given(specs())
def test_gradients_are_the_pull_back(spec: DOConvSpec) -> None:
    """The kernel is bilinear: <gradient of W, V> is how <grad_kernel, kernel> moves with V."""
    W, D, grad = (integers(s, i) for i, s in enumerate(
        (spec.W_shape, spec.D_shape, spec.kernel_shape)
    ))  # fmt: skip
    D_or_none = D if spec.has_D else None
    grad_W, grad_D = compose_kernel_gradients(spec, W, D_or_none, grad)
    kernel = compose_kernel(spec, W, D_or_none)
    V = integers(spec.W_shape, 4)
    assert (grad_W * V).sum() == (grad * (compose_kernel(spec, W + V, D_or_none) - kernel)).sum()
    if spec.has_D:
        V = integers(spec.D_shape, 5)
        assert (grad_D * V).sum() == (grad * (compose_kernel(spec, W, D + V) - kernel)).sum()


@pytest.mark.parametrize("name", ["W", "D", "grad_kernel"])
def test_a_wrong_shape_is_named(name: str) -> None:
    spec = DOConvSpec(2, 2, (3,))
    given = {"W": np.zeros(spec.W_shape), "D": np.zeros(spec.D_shape)}
    given["grad_kernel"] = np.zeros(spec.kernel_shape)
    given[name] = np.zeros((1, 1, 1))
    with pytest.raises(ValueError, match=rf"`{name}` must have shape .*\(1, 1, 1\)"):
        compose_kernel_gradients(spec, **given)


# --- folding -------------------------------------------------------------------------------


@given(specs(), st.sampled_from([np.float16, np.float32, np.float64]))
def test_fold_rounds_once(spec: DOConvSpec, dtype: type) -> None:
    rng = np.random.default_rng(0)
    W = rng.normal(size=spec.W_shape).astype(dtype)
    D = rng.normal(size=spec.D_shape).astype(dtype) if spec.has_D else None
    exact = compose_kernel(spec, W.astype(float), None if D is None else D.astype(float))
    folded = fold_kernel(spec, W, D)
    assert folded.dtype == dtype
    np.testing.assert_array_equal(folded, exact.astype(dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["W", "D"])
def test_fold_refuses_what_is_not_finite(name: str, value: float) -> None:
    spec = DOConvSpec(2, 2, (3,))
    given = {"W": np.ones(spec.W_shape), "D": np.zeros(spec.D_shape)}
    given[name][0, 0, 0] = value
    with pytest.raises(ValueError, match=f"cannot fold layer 'conv1': `{name}` must be finite"):
        fold_kernel(spec, **given, layer="conv1")


def test_fold_refuses_an_overflow() -> None:
    spec = DOConvSpec(1, 1, (2,))
    W = np.full(spec.W_shape, 60000, np.float16)
    D = np.ones(spec.D_shape, np.float16)
    with pytest.raises(ValueError, match=r"does not fit its type.*float16"):
        fold_kernel(spec, W, D)


# --- layouts and state ---------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_layouts_go_there_and_back(case: Case, layout: str) -> None:
    spec = case.spec
    if layout == "kIM":
        spec = DOConvSpec(4, 8, case.spec.kernel_size, groups=4)
    kernel = integers(spec.kernel_shape)
    there = from_canonical(spec, kernel, layout)
    g, sizes = spec.groups, spec.kernel_size
    assert there.shape == {
        "OIk": (spec.out_channels, spec.in_channels // g, *sizes),
        "IOk": (spec.in_channels, spec.out_channels // g, *sizes),
        "kIO": (*sizes, spec.in_channels // g, spec.out_channels),
        "kOI": (*sizes, spec.out_channels // g, spec.in_channels),
        "kIM": (*sizes, spec.in_channels, spec.out_channels // g),
    }[layout]  # fmt: skip
    np.testing.assert_array_equal(to_canonical(spec, there, layout), kernel)


def state_of(spec: DOConvSpec, **arrays: np.ndarray | None) -> LayerState:
    given = {"W": np.zeros(spec.W_shape), "D": np.zeros(spec.D_shape), **arrays}
    return LayerState(spec, **given)


SPEC = DOConvSpec(2, 4, (3,))
BAD_STATES = {
    "missing": ({}, r"missing=\['conv'\]"),
    "unexpected": (
        {"conv": state_of(SPEC), "more": state_of(SPEC)},
        r"unexpected=\['more'\]",
    ),
    "other sizes": ({"conv": state_of(DOConvSpec(2, 4, (3,), 2))}, "groups=2.*groups=1"),
    "bias": ({"conv": state_of(SPEC, bias=np.zeros(4))}, "state_bias=True.*layer_bias=False"),
}


@pytest.mark.parametrize(("state", "message"), BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_does_not_fit_is_refused(state: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_state({"conv": state_of(SPEC)}, state)


@pytest.mark.parametrize(
    "arrays",
    [{"W": np.zeros((4, 2, 4))}, {"D": None}, {"D": np.zeros((2, 3, 4))}, {"bias": np.zeros(2)}],
    ids=["W", "no D", "D", "bias"],
)
def test_a_state_with_wrong_shapes_cannot_be_made(arrays: dict) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        state_of(SPEC, **arrays)


# --- cost ----------------------------------------------------------------------------------


@every_case
def test_cost_counts_what_the_oracle_multiplies(case: Case) -> None:
    spec, batch = case.spec, 3
    data = arrays(case, batch=batch)
    out = case.oracle(data.x, data.W, data.D).shape[2:]
    cost = layer_cost(spec, out, input_size=case.size, batch_size=batch, bias=case.bias)
    arrays_in_training = [data.W, data.D, data.bias]
    assert cost.kernel.parameters == sum(a.size for a in arrays_in_training if a is not None)
    assert cost.plain == cost.folded
    positions = batch * int(np.prod(case.size if spec.transposed else out))
    kernel = np.zeros(spec.kernel_shape)
    assert cost.plain.macs == kernel.size * positions
    if spec.has_D:
        assert cost.kernel.macs - cost.plain.macs == kernel.size * spec.S
        outputs = batch * int(np.prod(out))
        assert cost.feature.macs == data.D.size * positions + data.W.size * outputs


def test_cost_of_a_transposed_layer_needs_its_input_size() -> None:
    with pytest.raises(ValueError, match="needs `input_size`"):
        layer_cost(DOConvSpec(2, 2, (3,), transposed=True), (5,))


# Parameters in total, as published on torchvision's model pages: convolutions, a batch norm (two
# numbers a channel) behind each, and a classifier of 1000 classes.
PUBLISHED_PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "mobilenet_v2": 3_504_872,
}


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_networks_have_the_published_number_of_parameters(name: str) -> None:
    layers = list(network_layers(name))
    convolutions = sum(layer_cost(layer.spec, (1, 1)).plain.parameters for layer in layers)
    batch_norms = sum(2 * layer.spec.out_channels for layer in layers)
    last = max(layer.spec.out_channels for layer in layers)
    assert convolutions + batch_norms + (last + 1) * 1000 == PUBLISHED_PARAMETERS[name]


def test_plain18_is_resnet18_without_shortcuts() -> None:
    resnet = [layer for layer in network_layers("resnet18") if "downsample" not in layer.name]
    assert list(network_layers("plain18")) == resnet


def test_mobilenet_v1_has_13_depthwise_layers() -> None:
    layers = list(network_layers("mobilenet_v1"))
    assert sum(layer.spec.kind == "DO-DConv" for layer in layers) == 13
    assert layers[-1].output_size == (7, 7)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"one of 'plain18'.*name='vgg'"):
        network_layers("vgg")
