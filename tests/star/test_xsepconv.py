"""XSepConv: one proof for all frameworks, as in tests/star/test_conv.py.

On integers results must be bitwise those of the oracle, three convolutions by feature composition
in float64; Gaussian data may differ by `compare.ULPS` roundings of the sum of the terms'
magnitudes, in each of the three.
"""

from __future__ import annotations

import numpy as np
import pytest

from doconv_core import fold_kernel
from doconv_core.neighbours.xsepconv import NAMES
from tests.star.backends import backend as backends
from tests.star.cases.xsepconv import (
    CASES,
    XSepCase,
    XSepConvBackend,
    arrays,
    expected_gradients,
    ids,
    magnitudes,
    named,
)
from tests.star.compare import assert_close

every_case = pytest.mark.parametrize("case", CASES, ids=ids)


@pytest.fixture(params=backends.with_neighbours(), scope="module")
def backend(request: pytest.FixtureRequest) -> XSepConvBackend:
    found: XSepConvBackend = backends.load(request.param, "xsepconv")
    return found


def check(backend: XSepConvBackend, case: XSepCase) -> None:
    if reason := backend.unsupported(case):
        pytest.skip(f"{backend.name}: {reason}")


@every_case
def test_the_integers_leave_no_room_for_rounding(case: XSepCase) -> None:
    """No sum of the magnitudes of its terms, in any order, reaches float32's 2**24."""
    sizes = magnitudes(arrays(case))
    sums = {"y": case.oracle(*sizes[:4]), **named(expected_gradients(case, sizes))}
    assert max(array.max() for array in sums.values()) < 2**24


@every_case
def test_forward_is_bitwise_the_oracle_on_integers(
    backend: XSepConvBackend, case: XSepCase
) -> None:
    check(backend, case)
    data = arrays(case)
    actual = backend.forward(backend.layer(case, data), data.x)
    np.testing.assert_array_equal(actual, case.oracle(*data[:4]))


@every_case
def test_gradients_are_bitwise_the_oracle_on_integers(
    backend: XSepConvBackend, case: XSepCase
) -> None:
    check(backend, case)
    data = arrays(case)
    actual = named(backend.gradients(backend.layer(case, data), data.x, data.grad_y))
    expected = named(expected_gradients(case, data))
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=f"gradient of {name}")


@every_case
def test_gaussian_data_is_within_the_stated_tolerance(
    backend: XSepConvBackend, case: XSepCase
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    sizes = magnitudes(data)
    layer = backend.layer(case, data)
    y, terms = case.oracle(*data[:4]), case.oracle(*sizes[:4])
    assert_close(backend.forward(layer, data.x), y, len(NAMES) * terms)
    actual = named(backend.gradients(layer, data.x, data.grad_y))
    terms = named(expected_gradients(case, sizes))
    for name, array in named(expected_gradients(case, data)).items():
        assert_close(actual[name], array, len(NAMES) * terms[name])


@every_case
def test_fold_gives_three_plain_kernels_of_the_core(
    backend: XSepConvBackend, case: XSepCase
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    layer = backend.layer(case, data)
    folded = backend.fold(layer)
    assert type(folded) is type(layer)
    assert not backend.states(folded)
    parts = zip(case.spec.parts, data.W, data.D, backend.kernels(folded), strict=True)
    for part, W, D, kernel in parts:
        np.testing.assert_array_equal(kernel, fold_kernel(part.conv, W, D), strict=True)
    y, terms = backend.forward(layer, data.x), case.oracle(*magnitudes(data)[:4])
    assert_close(backend.forward(folded, data.x), y, 2 * len(NAMES) * terms)


@every_case
def test_the_neutral_state_is_that_of_the_three_convolutions(
    backend: XSepConvBackend, case: XSepCase
) -> None:
    check(backend, case)
    data = arrays(case, "gaussian")
    states = backend.states(backend.layer(case, data))
    biases = (None, None, data.bias)
    for part, W, D, bias in zip(case.spec.parts, data.W, data.D, biases, strict=True):
        if D is None:
            assert part.name not in states
            continue
        state = states[part.name]
        assert state.spec == part.conv
        np.testing.assert_array_equal(state.W, W)
        np.testing.assert_array_equal(state.D, D)
        np.testing.assert_array_equal(state.bias, bias)
