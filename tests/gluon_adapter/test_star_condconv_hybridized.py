"""The star of CondConv again, for layers compiled to their graph (static_alloc, static_shape)."""

from __future__ import annotations

import pytest

from tests.star.backends.family import CondConvBackend
from tests.star.backends.family_gluon import HYBRIDIZED
from tests.star.test_condconv import (  # noqa: F401  collected here with the backend below
    test_a_layer_with_its_own_routing_is_the_formula,
    test_convert_leaves_the_output_and_fold_gives_the_kernels_back,
    test_forward_is_bitwise_the_oracle_on_integers,
    test_gaussian_data_is_within_the_stated_tolerance,
    test_gradients_are_bitwise_the_oracle_on_integers,
)


@pytest.fixture(scope="module")
def backend() -> CondConvBackend:
    return HYBRIDIZED
