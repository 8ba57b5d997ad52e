"""One proof for all frameworks: each against one float64 oracle by feature composition.

Integer data in [-3, 3] leaves no room for rounding, so results must be bitwise equal, and so are
those of any two frameworks. Gaussian data may differ by `compare.ULPS` float32 roundings of the sum
of the terms' magnitudes, elementwise.
"""

from __future__ import annotations

import numpy as np
import pytest

from doconv_core import compose_kernel, fold_kernel
from tests.star import training
from tests.star.backends.backend import Backend
from tests.star.cases.conv import CASES, Case, arrays, ids, where
from tests.star.compare import assert_close, magnitudes, pairs

K_ABOVE_1 = where(lambda case: case.spec.K > 1)  # the others are never converted

every_case = pytest.mark.parametrize("case", CASES, ids=ids)
every_composition = pytest.mark.parametrize("composition", ["kernel", "feature"])


def check(backend: Backend, case: Case) -> None:
    if reason := backend.unsupported(case):
        pytest.skip(f"{backend.name}: {reason}")


@every_composition
@every_case
def test_forward_is_bitwise_the_oracle_on_integers(
    backend: Backend, case: Case, composition: str
) -> None:
    check(backend, case)
    data = arrays(case)
    layer = backend.layer(case, data, composition=composition)
    actual = backend.forward(layer, data.x)
    np.testing.assert_array_equal(actual, case.oracle(data.x, data.W, data.D, data.bias))


@every_composition
@every_case
def test_gradients_are_bitwise_the_oracle_on_integers(
    backend: Backend, case: Case, composition: str
) -> None:
    check(backend, case)
    data = arrays(case)
    layer = backend.layer(case, data, composition=composition)
    actual = backend.gradients(layer, data.x, data.grad_y)
    expected = case.oracle.gradients(data.x, data.W, data.D, data.grad_y)
    for name, (ours, theirs) in pairs(actual, expected, data).items():
        np.testing.assert_array_equal(ours, theirs, err_msg=f"gradient of {name}")


@every_composition
@every_case
def test_gaussian_data_is_within_the_stated_tolerance(
    backend: Backend, case: Case, composition: str
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    sizes = magnitudes(data)
    layer = backend.layer(case, data, composition=composition)
    oracle = case.oracle
    assert_close(
        backend.forward(layer, data.x),
        oracle(data.x, data.W, data.D, data.bias),
        oracle(sizes.x, sizes.W, sizes.D, sizes.bias),
    )
    actual = backend.gradients(layer, data.x, data.grad_y)
    expected = oracle.gradients(data.x, data.W, data.D, data.grad_y)
    terms = oracle.gradients(sizes.x, sizes.W, sizes.D, sizes.grad_y)
    for name, (ours, theirs) in pairs(actual, expected, data).items():
        assert_close(ours, theirs, getattr(terms, name))


@every_case
def test_state_is_what_was_put_in(backend: Backend, case: Case) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    state = backend.state(backend.layer(case, data))
    assert state.spec == case.spec
    for name in ("W", "D", "bias"):
        np.testing.assert_array_equal(getattr(state, name), getattr(data, name), err_msg=name)


@every_case
def test_fold_is_the_plain_layer_with_the_kernel_of_the_core(backend: Backend, case: Case) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    layer = backend.layer(case, data)
    folded = backend.fold(layer)
    np.testing.assert_array_equal(
        backend.kernel(folded), fold_kernel(case.spec, data.W, data.D), strict=True
    )
    plain = backend.plain(case, fold_kernel(case.spec, data.W, data.D), data.bias)
    assert type(folded) is type(plain)
    np.testing.assert_array_equal(backend.forward(folded, data.x), backend.forward(plain, data.x))


@every_case
def test_composed_kernel_is_the_core_s(backend: Backend, case: Case) -> None:
    check(backend, case)
    data = arrays(case)
    layer = backend.layer(case, data)
    expected = compose_kernel(case.spec, data.W, data.D)
    np.testing.assert_array_equal(backend.kernel(layer), expected)


@pytest.mark.parametrize("case", K_ABOVE_1, ids=ids)
@pytest.mark.parametrize("more", [0, 1], ids=["D_mul=K", "D_mul=K+1"])
def test_convert_leaves_the_output_and_fold_gives_the_kernel_back(
    backend: Backend, case: Case, more: int
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    kernel = data.W[..., : case.spec.K].copy()
    plain = backend.plain(case, kernel, data.bias)
    converted = backend.convert(plain, D_mul=case.spec.K + more)
    np.testing.assert_array_equal(
        backend.forward(converted, data.x), backend.forward(plain, data.x)
    )
    folded = backend.fold(converted)
    assert type(folded) is type(plain)
    np.testing.assert_array_equal(backend.kernel(folded), kernel)


@every_case
def test_one_step_of_sgd_is_bitwise_the_numpy_loop_s_on_integers(
    backend: Backend, case: Case
) -> None:
    check(backend, case)
    data, lr = arrays(case), 2.0**-4
    layer = backend.layer(case, data)
    trained = backend.state(
        backend.train(layer, data.x, data.grad_y, training.SQUARES, steps=1, lr=lr)
    )
    expected = training.numpy_loop(case, data, training.SQUARES, steps=1, lr=lr)
    for name in ("W", "D", "bias"):
        np.testing.assert_array_equal(getattr(trained, name), getattr(expected, name), name)


@every_case
def test_ten_steps_of_sgd_are_bitwise_the_numpy_loop_s_on_integers(
    backend: Backend, case: Case
) -> None:
    """So that all frameworks are equal to each other after them, too."""
    check(backend, case)
    data, lr, steps = training.sparse_integers(case, arrays(case)), 0.5, 10
    layer = backend.layer(case, data)
    trained = backend.state(
        backend.train(layer, data.x, data.grad_y, training.LINEAR, steps=steps, lr=lr)
    )
    expected = training.numpy_loop(case, data, training.LINEAR, steps=steps, lr=lr)
    for name in ("W", "D", "bias"):
        np.testing.assert_array_equal(getattr(trained, name), getattr(expected, name), name)


@every_case
def test_ten_steps_of_sgd_are_the_numpy_loop_s(backend: Backend, case: Case) -> None:
    """On Gaussian data, and with a gradient that depends on the output, as in real training.

    To `compare.ULPS` roundings of each array's largest number, so that any two frameworks agree
    to twice that.
    """
    check(backend, case)
    data, lr, steps = arrays(case, "gaussian"), 1e-4, 10
    layer = backend.layer(case, data)
    trained = backend.state(
        backend.train(layer, data.x, data.grad_y, training.SQUARES, steps=steps, lr=lr)
    )
    expected = training.numpy_loop(case, data, training.SQUARES, steps=steps, lr=lr)
    for name, array in expected._asdict().items():
        if array is not None:
            assert_close(getattr(trained, name), array, abs(array).max())
