"""MXNet's two kinds of arrays and symbols."""

from __future__ import annotations

from typing import Any

from doconv_gluon.mxnet import mx


def as_classic(array: Any) -> Any:
    """An array or symbol as ``mx.nd`` and ``mx.sym`` take it; None stays None."""
    # After mx.npx.set_np(), arrays and symbols are MXNet's imitation of NumPy's.
    return None if array is None else array.as_nd_ndarray()


def as_host(array: Any) -> Any:
    """A result in the kind that the user has chosen; the inverse of :func:`as_classic`."""
    return array.as_np_ndarray() if mx.util.is_np_array() else array
