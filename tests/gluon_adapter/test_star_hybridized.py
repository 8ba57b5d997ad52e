"""The star of tests again, for layers compiled to their graph (static_alloc, static_shape)."""

from __future__ import annotations

import pytest

from tests.star.backends.backend import Backend
from tests.star.backends.backend_gluon import HYBRIDIZED
from tests.star.test_conv import (  # noqa: F401  collected here with the backend below
    test_forward_is_bitwise_the_oracle_on_integers,
    test_gaussian_data_is_within_the_stated_tolerance,
    test_gradients_are_bitwise_the_oracle_on_integers,
    test_ten_steps_of_sgd_are_the_numpy_loop_s,
)


@pytest.fixture(scope="module")
def backend() -> Backend:
    return HYBRIDIZED
