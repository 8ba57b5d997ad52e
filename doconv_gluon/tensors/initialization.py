"""D and W_extra at birth: made beside a weight, so that the layer computes what it did."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from doconv_core.kernel.initialization import Start, identity
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.forms import Form
from doconv_gluon.tensors.kinds import as_host

DEFAULT = Start()


@mx.init.register
class ExtraColumns(mx.init.Initializer):
    """Zeros where the identity has a copy, and the last columns drawn as the weight's are.

    See :func:`doconv_core.over_parameterize`. A whole kernel is drawn for these columns, so that
    their scale follows the layer's fan-in.

    Args:
        free: the number of columns to draw, S mod K; S - K to draw all of them.
        kernel_size: one integer per spatial dimension.
        channels_last: the columns are the array's second axis, not its third.
        init: the weight's own initializer; None means the one given to ``initialize()``.
        factor: what is drawn is multiplied with it.
    """

    def __init__(
        self,
        free: int,
        kernel_size: tuple[int, ...],
        channels_last: bool = False,
        init: Any = None,
        factor: float = 1.0,
    ) -> None:
        init = init.dumps() if isinstance(init, mx.init.Initializer) else init
        super().__init__(
            free=free,
            kernel_size=tuple(kernel_size),
            channels_last=channels_last,
            init=init,
            factor=factor,
        )
        self.free, self.kernel_size, self.init = free, tuple(kernel_size), init
        self.factor = factor
        self.columns_axis = 1 if channels_last else 2

    def _init_weight(self, name: Any, array: Any) -> None:
        values = np.zeros(array.shape, array.dtype)
        axis, columns = self.columns_axis, []
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        while len(columns) < self.free:
            kernel = as_host(mx.nd.zeros((*before, *self.kernel_size, *after)))
            mx.init.create(self.init or name.global_init)._init_weight(name, kernel)
            columns += [*np.moveaxis(kernel.asnumpy().reshape(*before, -1, *after), axis, 0)]
        if self.free:
            np.moveaxis(values, axis, 0)[-self.free :] = columns[: self.free]
        array[:] = self.factor * values


@mx.init.register
class RandomD(mx.init.Initializer):
    """The whole D drawn, as offset from the identity; see :class:`Start`."""

    def _init_weight(self, name: Any, array: Any) -> None:
        *_, K, S = array.shape
        bound = math.sqrt(3 / S)
        drawn = mx.nd.random.uniform(-bound, bound, shape=array.shape).asnumpy()
        array[:] = drawn - identity(K, S)


@mx.init.register
class Scaled(mx.init.Initializer):
    """What another initializer draws, times a factor.

    Args:
        factor: it.
        init: the other; None means the one given to ``initialize()``.
    """

    def __init__(self, factor: float, init: Any = None) -> None:
        saved = init.dumps() if isinstance(init, mx.init.Initializer) else init
        super().__init__(factor=factor, init=saved)
        self.factor, self.init = factor, init

    def _init_weight(self, name: Any, array: Any) -> None:
        mx.init.create(self.init or name.global_init)._init_weight(name, array)
        array[:] = self.factor * array


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


def declarations(
    form: Form, weight: Any, experts: int | None = None, start: Start = DEFAULT
) -> dict[str, dict[str, Any]]:
    """The parameters that stand beside ``weight``: name -> arguments of ``gluon.Parameter``.

    A size of 0 is one that MXNet fills in with the first input, as it does for ``weight``.

    Args:
        form: the sizes of the layer, or of one expert.
        weight: its parameter.
        experts: E, the length of the axis in front of every array of a CondConv layer.
        start: what D and W_extra start with.
    """
    if form.K == 1:
        return {}
    if experts is not None:
        own = weight.init.init if isinstance(weight.init, EachExpert) else weight.init
        one = SimpleNamespace(shape=weight.shape[1:], init=own)
        declared = declarations(form, one, start=start)
        for given in declared.values():
            given.update(shape=(experts, *given["shape"]), init=EachExpert(given["init"]))
        return declared
    first, second = weight.shape[0], weight.shape[-1 if form.channels_last else 1]
    in_channels = first if form.transposed else second * form.groups
    D_init = RandomD() if start.D == "random" else "zeros"
    declared: dict[str, Any] = {"D": {"shape": (in_channels, form.K, form.D_mul), "init": D_init}}
    if form.extra_columns:
        columns, everything = form.extra_columns, start.W_extra == "random"
        free, factor = (columns, share(form)) if everything else (form.D_mul % form.K, 1.0)
        declared["W_extra"] = {
            "shape": (first, columns, second) if form.channels_last else (first, second, columns),
            "init": ExtraColumns(free, form.kernel_size, form.channels_last, weight.init, factor),
        }
    return {name: {**given, "allow_deferred_init": True} for name, given in declared.items()}


def share(form: Form) -> float:
    """How much smaller the columns of W are drawn where all S of them are, not K."""
    return math.sqrt(form.K / form.D_mul)


def new_parameters(
    form: Form, weight: Any, prefix: str, experts: int | None = None, start: Start = DEFAULT
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
        for name, given in declarations(form, weight, experts, start).items()
    }
    for parameter in parameters.values():
        if weight._deferred_init:  # initialize() was called, the input's shape is awaited
            _, ctx, default_init, _ = weight._deferred_init
            parameter.initialize(ctx=ctx, default_init=default_init)
        elif weight._data is not None:
            parameter.initialize(ctx=weight.list_ctx())
    return parameters
