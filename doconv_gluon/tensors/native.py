"""Composition by the core's compiled kernel: a custom operator that hands it addresses.

An operator written in Python cannot be exported, so graphs have it only where they are executed
(:mod:`doconv_gluon.layers.execution`).
"""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import numpy as np

from doconv_core.native import products
from doconv_gluon import messages as gluon_messages
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.forms import Form

Array = Any  # an NDArray or a Symbol
NAME = "doconv_compose"

_executed: ContextVar[bool] = ContextVar("executed", default=False)


@contextmanager
def executed() -> Iterator[None]:
    """Graphs that are built within are executed here, and shown to nobody."""
    token = _executed.set(True)
    try:
        yield
    finally:
        _executed.reset(token)


def fits(F: Any, form: Form, weight: Array, dtype: Any) -> bool:
    """Whether the kernel knows arrays of this form, and an operator in Python can be here."""
    here = on_cpu(weight.context) if F is mx.nd else _executed.get()
    dense = form.K == form.D_mul == products.K and not form.transposed
    return here and dense and np.dtype(dtype) == np.float32 and products.is_available()


def on_cpu(context: Any) -> bool:
    """Whether arrays of a context have addresses that the kernel can read."""
    return context.device_type.startswith("cpu")


def compose(F: Any, form: Form, weight: Array, D: Array) -> Array:
    """The kernel, in the shape of ``weight``."""
    order = "OkI" if form.channels_last else "OIk"
    return F.Custom(weight, D, op_type=NAME, groups=form.groups, order=order)


@atexit.register
def _finish() -> None:
    """Wait for what is still computed when Python ends, or forks.

    MXNet (1.9.1) calls operators in Python from threads of its own, and waits for them as it is
    unloaded. By then Python is gone: the process hung, or was aborted. It waits before a fork, too,
    and Python with it, so that both waited for ever.
    """
    with suppress(mx.base.MXNetError):  # of work whose result nobody has asked for
        mx.nd.waitall()


os.register_at_fork(before=_finish)


class _Composition(mx.operator.CustomOp):
    def __init__(self, sizes: products.Sizes) -> None:
        super().__init__()
        self._sizes = sizes

    def forward(
        self, is_train: bool, req: list[str], in_data: Any, out_data: Any, aux: Any
    ) -> None:
        with _writable(req[0], out_data[0]) as kernel:
            addresses = (_address(each) for each in (kernel, *in_data))
            _check(products.compose(self._sizes, *addresses))

    def backward(
        self, req: list[str], out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        with _writable(req[0], in_grad[0]) as grad_W, _writable(req[1], in_grad[1]) as grad_D:
            arrays = (grad_W, grad_D, out_grad[0], *in_data)
            addresses = (_address(each) for each in arrays)
            # In its own thread, where OpenMP would begin a pool of threads beside MXNet's.
            _check(products.pull_back(self._sizes, *addresses))


@mx.operator.register(NAME)
class _Properties(mx.operator.CustomOpProp):
    def __init__(self, groups: str, order: str) -> None:
        super().__init__(need_top_grad=True)
        self._groups, self._order = int(groups), order

    def list_arguments(self) -> list[str]:
        return ["weight", "D"]

    def list_outputs(self) -> list[str]:
        return ["kernel"]

    def infer_shape(self, in_shape: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        return in_shape, [in_shape[0]], []

    def declare_backward_dependency(
        self, out_grad: list[int], in_data: list[int], out_data: list[int]
    ) -> list[int]:
        return [*out_grad, *in_data]

    def create_operator(self, ctx: str, in_shapes: Any, in_dtypes: Any) -> _Composition:
        if not str(ctx).startswith("cpu"):
            raise RuntimeError(gluon_messages.graph_of_another_device(str(ctx)))
        O, I = in_shapes[0][0], in_shapes[1][0]
        groups = self._groups
        return _Composition(products.Sizes(groups, O // groups, I // groups, self._order))


@contextmanager
def _writable(req: str, array: Any) -> Iterator[Any]:
    """An array to overwrite, for one that is to be overwritten, added to, or left."""
    if req in ("write", "inplace"):
        yield array
        return
    written = mx.nd.empty(array.shape, ctx=array.context, dtype=array.dtype)
    yield written
    if req == "add":
        array += written


def _address(array: Any) -> int:
    array.wait_to_read()
    found = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(found)))
    assert found.value
    return found.value


def _check(done: bool) -> None:
    if not done:
        raise MemoryError(gluon_messages.NO_MEMORY)
