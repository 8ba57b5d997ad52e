"""How convert starts where somebody asks for another start, in every framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doconv_core import compose_kernel, identity
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Case, arrays, ids, where
from tests.star.compare import assert_close

IDS = ("conv", "copies", "free-columns-grouped", "free-columns-depthwise", "transposed")
every_case = pytest.mark.parametrize("case", where(lambda case: case.id in IDS), ids=ids)


def converted(backend: Backend, case: Case, **options: Any) -> tuple[Any, Any]:
    """A plain layer with Gaussian weights, and what convert makes of it."""
    if reason := backend.unsupported(case):
        pytest.skip(f"{backend.name}: {reason}")
    data = arrays(case, "gaussian")
    plain = backend.plain(case, data.W[..., : case.spec.K].copy(), data.bias)
    return plain, backend.convert(plain, D_mul=case.spec.S, **options)


@every_case
def test_the_authors_columns_are_drawn_alike_and_leave_the_kernel(
    backend: Backend, case: Case
) -> None:
    plain, layer = converted(backend, case, W_extra_init="random")
    state, kernel = backend.state(layer), backend.kernel(plain)
    columns, fan_in = state.W[..., case.spec.K :], case.spec.W_shape[-2] * case.spec.S
    assert columns.all()
    assert (abs(columns) <= fan_in**-0.5).all()
    assert not state.D.any()
    assert_close(backend.kernel(layer), kernel, abs(kernel) + abs(state.W).max())


@every_case
def test_a_random_D_is_drawn_whole_and_W_stays(backend: Backend, case: Case) -> None:
    plain, layer = converted(backend, case, D_init="random")
    state = backend.state(layer)
    whole = state.D + identity(case.spec.K, case.spec.S)
    assert (abs(whole) <= (3 / case.spec.S) ** 0.5 + 1e-6).all()
    assert 0.8 < whole.std() * case.spec.S**0.5 < 1.2
    np.testing.assert_array_equal(state.W[..., : case.spec.K], backend.kernel(plain))
    expected = compose_kernel(case.spec, state.W, state.D)
    assert_close(backend.kernel(backend.fold(layer)), expected, abs(expected).max())
