"""The star of tests again, over random layers and geometries instead of a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.star.backends.backend import Backend
from tests.star.cases.conv import Case, arrays
from tests.star.cases.strategies import cases
from tests.star.compare import pairs


@pytest.mark.parametrize("composition", ["kernel", "feature"])
@settings(max_examples=60)
@given(case=cases())
def test_any_layer_is_bitwise_the_oracle_on_integers(
    backend: Backend, composition: str, case: Case
) -> None:
    assume(not backend.unsupported(case))
    data = arrays(case)
    layer = backend.layer(case, data, composition=composition)
    y = backend.forward(layer, data.x)
    np.testing.assert_array_equal(y, case.oracle(data.x, data.W, data.D, data.bias))
    actual = backend.gradients(layer, data.x, data.grad_y)
    expected = case.oracle.gradients(data.x, data.W, data.D, data.grad_y)
    for name, (ours, theirs) in pairs(actual, expected, data).items():
        np.testing.assert_array_equal(ours, theirs, err_msg=f"gradient of {name}")
