"""CondConv: one proof for all frameworks, as in tests/star/test_conv.py.

On integers, with alpha in quarters, results must be bitwise those of the oracle, in both
evaluations; Gaussian data may differ by `compare.ULPS` roundings of the sum of the terms'
magnitudes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from doconv_core import CondConvSpec, DOConvSpec
from doconv_core.kernel.composition import fold_kernel
from doconv_core.neighbours.condconv import routing_weights
from tests.star.backends import backend as backends
from tests.star.backends.family import CondConvBackend
from tests.star.cases.condconv import CASES, CondArrays, CondCase, arrays, ids
from tests.star.cases.conv import Arrays, Case
from tests.star.cases.strategies import cases as conv_cases
from tests.star.compare import EPS, ULPS, assert_close
from tests.star.oracles.condconv import CondConvGradients

every_case = pytest.mark.parametrize("case", CASES, ids=ids)
plain_cases = pytest.mark.parametrize(
    "case", [c for c in CASES if c.spec.K > 1 and not c.spec.has_D], ids=ids
)
every_evaluation = pytest.mark.parametrize("evaluation", ["kernels", "outputs", "auto"])


@pytest.fixture(params=backends.with_neighbours(), scope="module")
def backend(request: pytest.FixtureRequest) -> CondConvBackend:
    family: CondConvBackend = backends.load(request.param, "family")
    return family


def check(backend: CondConvBackend, case: CondCase, evaluation: str = "auto") -> None:
    if reason := backend.unsupported(case):
        pytest.skip(f"{backend.name}: {reason}")
    if evaluation not in backend.evaluations(case):
        pytest.skip(f'{backend.name} has no evaluation="{evaluation}" for this layer')


def pairs(actual: CondConvGradients, expected: CondConvGradients) -> dict[str, Any]:
    """Both gradients of every array that the layer has, by name."""
    shown = actual._asdict()
    assert [name for name, array in expected._asdict().items() if array is not None] == [
        name for name, array in shown.items() if array is not None
    ]
    return {
        name: (shown[name], array)
        for name, array in expected._asdict().items()
        if array is not None
    }


@every_evaluation
@every_case
def test_forward_is_bitwise_the_oracle_on_integers(
    backend: CondConvBackend, case: CondCase, evaluation: str
) -> None:
    check(backend, case, evaluation)
    data = arrays(case)
    layer = backend.layer(case, data, evaluation=evaluation)
    actual = backend.forward(layer, data.x, data.alpha)
    expected = case.oracle(data.x, data.W, data.D, data.bias, data.alpha)
    np.testing.assert_array_equal(actual, expected)


@every_evaluation
@every_case
def test_gradients_are_bitwise_the_oracle_on_integers(
    backend: CondConvBackend, case: CondCase, evaluation: str
) -> None:
    check(backend, case, evaluation)
    data = arrays(case)
    layer = backend.layer(case, data, evaluation=evaluation)
    actual = backend.gradients(layer, data.x, data.grad_y, data.alpha)
    expected = case.oracle.gradients(*data[:5], data.grad_y)
    for name, (ours, theirs) in pairs(actual, expected).items():
        np.testing.assert_array_equal(ours, theirs, err_msg=f"gradient of {name}")


@st.composite
def random_cases(draw: st.DrawFn) -> CondCase:
    conv = draw(conv_cases().filter(lambda case: not case.spec.transposed))
    size, D_mul = conv.spec, draw(st.sampled_from([None, conv.spec.D_mul]))
    spec = CondConvSpec(
        *(size.in_channels, size.out_channels, size.kernel_size, size.groups),
        num_experts=draw(st.integers(1, 5)),
        D_mul=D_mul,
    )
    return CondCase("random", conv, spec, draw(st.integers(1, 5)))


# Where an einsum of TensorFlow's destroyed memory.
ONE_EXAMPLE_IN_GROUPS = CondCase(
    "one example in groups",
    Case("", DOConvSpec(2, 6, (3,), 2), (6,), (1,), (1,), (2,), (0,), "zeros", bias=False),
    CondConvSpec(2, 6, (3,), 2, num_experts=2),
    batch=1,
)


@settings(max_examples=25)
@example(case=ONE_EXAMPLE_IN_GROUPS, evaluation="outputs")
@given(case=random_cases(), evaluation=st.sampled_from(["kernels", "outputs", "auto"]))
def test_any_layer_is_bitwise_the_oracle_on_integers(
    backend: CondConvBackend, case: CondCase, evaluation: str
) -> None:
    assume(not backend.unsupported(case) and evaluation in backend.evaluations(case))
    data = arrays(case)
    layer = backend.layer(case, data, evaluation=evaluation)
    y = backend.forward(layer, data.x, data.alpha)
    np.testing.assert_array_equal(y, case.oracle(*data[:5]))
    actual = backend.gradients(layer, data.x, data.grad_y, data.alpha)
    expected = case.oracle.gradients(*data[:5], data.grad_y)
    for name, (ours, theirs) in pairs(actual, expected).items():
        np.testing.assert_array_equal(ours, theirs, err_msg=f"gradient of {name}")


@pytest.mark.parametrize("evaluation", ["kernels", "outputs"])
@every_case
def test_gaussian_data_is_within_the_stated_tolerance(
    backend: CondConvBackend, case: CondCase, evaluation: str
) -> None:
    check(backend, case, evaluation)
    data = arrays(case, "gaussian")
    sizes = CondArrays(*(None if array is None else abs(array) for array in data))
    oracle = case.oracle
    layer = backend.layer(case, data, evaluation=evaluation)
    actual = backend.forward(layer, data.x, data.alpha)
    assert_close(actual, oracle(*data[:5]), oracle(*sizes[:5]))
    gradients = backend.gradients(layer, data.x, data.grad_y, data.alpha)
    terms = oracle.gradients(*sizes[:5], sizes.grad_y)
    expected = oracle.gradients(*data[:5], data.grad_y)
    for name, (ours, theirs) in pairs(gradients, expected).items():
        assert_close(ours, theirs, getattr(terms, name))


# --- routing -----------------------------------------------------------------------------


@every_case
def test_routing_of_zeros_is_bitwise_one_half_of_every_expert(
    backend: CondConvBackend, case: CondCase
) -> None:
    check(backend, case)
    data = arrays(case)
    zeros = None if data.routing_bias is None else np.zeros_like(data.routing_bias)
    data = data._replace(R=np.zeros_like(data.R), routing_bias=zeros)
    layer = backend.layer(case, data, routing=True)
    halves = np.full_like(data.alpha, 0.5)
    expected = case.oracle(data.x, data.W, data.D, data.bias, halves)
    np.testing.assert_array_equal(backend.forward(layer, data.x), expected)


@every_case
def test_routing_is_the_formula(backend: CondConvBackend, case: CondCase) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    R, r = data.R, data.routing_bias
    expected = routing_weights(data.x.astype(np.float64), R, r)
    # The logit's error, times at most 1/4, and a few roundings of a number below 1.
    terms = abs(data.x).reshape(*data.x.shape[:2], -1).mean(axis=2) @ abs(R) / 4 + 1
    terms = terms + (0 if r is None else abs(r) / 4)
    assert_close(backend.routing(data.x, R, r), expected, terms)


@every_case
def test_a_layer_with_its_own_routing_is_the_formula(
    backend: CondConvBackend, case: CondCase
) -> None:
    """Output and all gradients, to roundings of each array's largest sum of magnitudes."""
    check(backend, case)
    data = arrays(case, "gaussian")
    data = data._replace(R=data.R / 4)
    layer, oracle = backend.layer(case, data, routing=True), case.oracle
    routing = (data.R, data.routing_bias)
    alpha = routing_weights(data.x.astype(np.float64), *routing)
    sizes = CondArrays(*(None if array is None else abs(array) for array in data))
    terms = oracle(*sizes[:4], np.ones_like(alpha)).max()
    y = backend.forward(layer, data.x)
    assert_close(y, oracle(*data[:4], alpha), terms)
    actual = backend.gradients(layer, data.x, data.grad_y)
    expected = oracle.gradients(*data[:4], alpha, data.grad_y, *routing)._replace(alpha=None)
    largest = oracle.gradients(*sizes[:4], np.ones_like(alpha), sizes.grad_y)
    through_R = largest.alpha.max() * max(1.0, sizes.x.max())
    for name, (ours, theirs) in pairs(actual, expected).items():
        of_routing = name in ("R", "routing_bias")
        terms = through_R if of_routing else getattr(largest, name).max()
        if name == "x":
            terms = terms + through_R
        assert_close(ours, theirs, terms)


# --- state, fold, convert ----------------------------------------------------------------


@pytest.mark.parametrize("routing", [True, False], ids=["routing", "routed"])
@every_case
def test_state_is_what_was_put_in(backend: CondConvBackend, case: CondCase, routing: bool) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    state = backend.state(backend.layer(case, data, routing=routing))
    assert state.spec == case.spec
    for name in ("W", "D", "bias"):
        np.testing.assert_array_equal(getattr(state, name), getattr(data, name), err_msg=name)
    np.testing.assert_array_equal(state.routing, data.R if routing else None)
    np.testing.assert_array_equal(state.routing_bias, data.routing_bias if routing else None)


@pytest.mark.parametrize("whole_model", [False, True], ids=["layer", "model"])
@every_case
def test_fold_gives_plain_condconv_with_the_kernels_of_the_core(
    backend: CondConvBackend, case: CondCase, whole_model: bool
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    layer = backend.layer(case, data)
    before = backend.forward(layer, data.x, data.alpha)
    folded = backend.fold_model(layer) if whole_model else backend.fold(layer)
    assert folded is not layer
    assert type(folded) is type(layer)
    state = backend.state(folded)
    assert state.spec == case.spec.plain
    kernels = fold_kernel(case.spec, data.W, data.D)
    np.testing.assert_array_equal(state.W, kernels, strict=True)
    np.testing.assert_array_equal(state.bias, data.bias)
    sizes = CondArrays(*(None if array is None else abs(array) for array in data))
    after = backend.forward(folded, data.x, data.alpha)
    assert_close(after, before, case.oracle(*sizes[:5]))
    plain = backend.layer(
        CondCase(case.id, case.conv, case.spec.plain, case.batch),
        data._replace(W=kernels, D=None),
    )
    np.testing.assert_array_equal(after, backend.forward(plain, data.x, data.alpha))


@pytest.mark.parametrize("more", [0, 1], ids=["D_mul=K", "D_mul=K+1"])
@plain_cases
def test_convert_leaves_the_output_and_fold_gives_the_kernels_back(
    backend: CondConvBackend, case: CondCase, more: int
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    plain = backend.layer(case, data)
    converted = backend.convert(plain, D_mul=case.spec.K + more)
    state = backend.state(converted)
    assert state.spec.D_mul == case.spec.K + more
    np.testing.assert_array_equal(state.D, np.zeros(state.spec.D_shape))
    assert (abs(state.W[..., case.spec.K :]) > 0).all()  # D alone acts there, and must learn
    np.testing.assert_array_equal(
        backend.forward(converted, data.x, data.alpha), backend.forward(plain, data.x, data.alpha)
    )
    np.testing.assert_array_equal(backend.state(backend.fold_model(converted)).W, data.W)


def test_one_expert_with_alpha_one_is_the_do_conv_layer(backend: CondConvBackend) -> None:
    case = next(case for case in CASES if case.id == "one-expert")
    data = arrays(case)
    layer = backend.layer(case, data)
    ours = backend.forward(layer, data.x, np.ones_like(data.alpha))
    do_conv = backends.load(backend.name, "backend")
    theirs = do_conv.layer(
        case.conv, Arrays(data.x, data.W[0], data.D[0], data.bias[0], data.grad_y)
    )
    np.testing.assert_array_equal(ours, do_conv.forward(theirs, data.x))


def test_the_tolerance_tells_one_expert_from_another() -> None:
    """That the comparisons above can fail: swapped experts are far outside of it."""
    case = CASES[0]
    data = arrays(case, "gaussian")
    swapped = data._replace(W=np.roll(data.W, 1, axis=0))
    sizes = CondArrays(*(None if array is None else abs(array) for array in data))
    difference = abs(case.oracle(*data[:5]) - case.oracle(*swapped[:5]))
    assert (difference > 100 * ULPS * EPS * case.oracle(*sizes[:5])).mean() > 0.9
