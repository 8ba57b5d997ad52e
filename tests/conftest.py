"""Settings that every test shares, and the star's frameworks."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests import backends
from tests.backends import Backend

# The machine may be slow or busy, and a failure must come back when it is looked for.
settings.register_profile("doconv", deadline=None, derandomize=True)
settings.load_profile("doconv")


@pytest.fixture(params=backends.names(), scope="module")
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends.load(request.param)
