"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import settings

# The machine may be slow or busy, and a failure must come back when it is looked for.
settings.register_profile("doconv", deadline=None, derandomize=True)
settings.load_profile("doconv")
