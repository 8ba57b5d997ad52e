"""D and W_extra at birth: made beside a weight, so that the layer computes what it did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.composition import Form
from doconv_gluon.tensors.kinds import as_host


@mx.init.register
class ExtraColumns(mx.init.Initializer):
    """Zeros where the identity has a copy, and the last columns drawn as the weight's are.

    See :func:`doconv_core.over_parameterize`. A whole kernel is drawn for these columns, so that
    their scale follows the layer's fan-in.

    Args:
        free: S mod K, the number of columns to draw.
        kernel_size: one integer per spatial dimension.
        channels_last: the columns are the array's second axis, not its third.
        init: the weight's own initializer; None means the one given to ``initialize()``.
    """

    def __init__(
        self,
        free: int,
        kernel_size: tuple[int, ...],
        channels_last: bool = False,
        init: Any = None,
    ) -> None:
        init = init.dumps() if isinstance(init, mx.init.Initializer) else init
        super().__init__(
            free=free, kernel_size=tuple(kernel_size), channels_last=channels_last, init=init
        )
        self.free, self.kernel_size, self.init = free, tuple(kernel_size), init
        self.columns_axis = 1 if channels_last else 2

    def _init_weight(self, name: Any, array: Any) -> None:
        values = np.zeros(array.shape, array.dtype)
        if self.free:
            axis = self.columns_axis
            before, after = array.shape[:axis], array.shape[axis + 1 :]
            kernel = as_host(mx.nd.zeros((*before, *self.kernel_size, *after)))
            mx.init.create(self.init or name.global_init)._init_weight(name, kernel)
            drawn = np.moveaxis(kernel.asnumpy().reshape(*before, -1, *after), axis, 0)
            np.moveaxis(values, axis, 0)[-self.free :] = drawn[: self.free]
        array[:] = values


@mx.init.register
class EachExpert(mx.init.Initializer):
    """Draw every expert's array on its own, as the host draws one layer's.

    So a fan is that of one expert, not of the stack.

    Args:
        init: of one expert; None means the one given to ``initialize()``.
    """

    def __init__(self, init: Any = None) -> None:
        init = init.dumps() if isinstance(init, mx.init.Initializer) else init
        super().__init__(init=init)
        self.init = init

    def _init_weight(self, name: Any, array: Any) -> None:
        init = mx.init.create(self.init or name.global_init)
        for expert in array:
            init._init_weight(name, expert)


def declarations(form: Form, weight: Any, experts: int | None = None) -> dict[str, dict[str, Any]]:
    """The parameters that stand beside ``weight``: name -> arguments of ``gluon.Parameter``.

    A size of 0 is one that MXNet fills in with the first input, as it does for ``weight``.

    Args:
        form: the sizes of the layer, or of one expert.
        weight: its parameter.
        experts: E, the length of the axis in front of every array of a CondConv layer.
    """
    if form.K == 1:
        return {}
    if experts is not None:
        own = weight.init.init if isinstance(weight.init, EachExpert) else weight.init
        one = SimpleNamespace(shape=weight.shape[1:], init=own)
        declared = declarations(form, one)
        for given in declared.values():
            given.update(shape=(experts, *given["shape"]), init=EachExpert(given["init"]))
        return declared
    first, second = weight.shape[0], weight.shape[-1 if form.channels_last else 1]
    in_channels = first if form.transposed else second * form.groups
    declared = {"D": {"shape": (in_channels, form.K, form.D_mul), "init": "zeros"}}
    if form.extra_columns:
        columns, free = form.extra_columns, form.D_mul % form.K
        declared["W_extra"] = {
            "shape": (first, columns, second) if form.channels_last else (first, second, columns),
            "init": ExtraColumns(free, form.kernel_size, form.channels_last, weight.init),
        }
    return {name: {**given, "allow_deferred_init": True} for name, given in declared.items()}


def new_parameters(
    form: Form, weight: Any, prefix: str, experts: int | None = None
) -> dict[str, Any]:
    """D and W_extra for a weight that exists: as it is trained, and as far initialized."""
    parameters = {
        name: mx.gluon.Parameter(
            prefix + name,
            dtype=weight.dtype,
            grad_req=weight.grad_req,
            lr_mult=weight.lr_mult,
            wd_mult=weight.wd_mult,
            **given,
        )
        for name, given in declarations(form, weight, experts).items()
    }
    for parameter in parameters.values():
        if weight._deferred_init:  # initialize() was called, the input's shape is awaited
            _, ctx, default_init, _ = weight._deferred_init
            parameter.initialize(ctx=ctx, default_init=default_init)
        elif weight._data is not None:
            parameter.initialize(ctx=weight.list_ctx())
    return parameters
