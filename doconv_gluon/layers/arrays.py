"""One view of a convolution of Gluon, plain or over-parameterized: its sizes and its arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import CondConvSpec, DOConvSpec, messages
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_gluon import messages as gluon_messages
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.forms import Form
from doconv_gluon.tensors.initialization import declarations

Spec = DOConvSpec | CondConvSpec


def form_of(conv: Any, D_mul: int) -> Form:
    """What is known of a convolution before its first input."""
    given = conv._kwargs
    return Form(
        channels=given["num_filter"],
        kernel_size=tuple(given["kernel"]),
        groups=given["num_group"],
        D_mul=D_mul,
        transposed=conv._op_name.lower() == "deconvolution",
        channels_last=given["layout"].endswith("C"),
    )


def has_sizes(layer: Any) -> bool:
    """Whether its number of input channels is known: it was given, or an input has told it."""
    return bool(mx.gluon.utils.shape_is_known(layer.weight.shape))


def spec_of(conv: Any, D_mul: int | str | None = None) -> DOConvSpec:
    """The sizes of a convolution that :func:`has_sizes`."""
    _check_sizes(conv)
    form, shape = form_of(conv, 0), conv.weight.shape
    channels = shape[0 if form.transposed else -1 if form.channels_last else 1]
    in_channels = channels if form.transposed else channels * form.groups
    return DOConvSpec(
        in_channels, form.channels, form.kernel_size, form.groups, D_mul, form.transposed
    )


def experts_spec_of(layer: Any, D_mul: int | str | None) -> CondConvSpec:
    """The sizes of a CondConv layer, like :func:`spec_of`."""
    _check_sizes(layer)
    form, shape = form_of(layer, 0), layer.weight.shape
    in_channels = shape[-1 if form.channels_last else 2] * form.groups
    return CondConvSpec(
        in_channels, form.channels, form.kernel_size, form.groups, layer.num_experts, D_mul
    )


def converted_spec(conv: Any, D_mul: int | str | None) -> DOConvSpec:
    """The sizes that a plain convolution has when over-parameterized.

    Where the number of input channels is not known yet, a group has one; S does not depend on it.

    Raises:
        ValueError: D_mul is too small.
    """
    if has_sizes(conv):
        return spec_of(conv, D_mul)
    form = form_of(conv, 0)
    return DOConvSpec(form.groups, form.channels, form.kernel_size, form.groups, D_mul)


def converted_experts_spec(layer: Any, D_mul: int | str) -> CondConvSpec:
    """Those of a plain CondConv layer, like :func:`converted_spec`."""
    if has_sizes(layer):
        return experts_spec_of(layer, D_mul)
    form, E = form_of(layer, 0), layer.num_experts
    return CondConvSpec(form.groups, form.channels, form.kernel_size, form.groups, E, D_mul)


def own_symbols(layer: Any) -> list[Any]:
    """weight, bias, D and W_extra (or None) as symbols with the shapes that are known by now.

    A Parameter keeps its symbol, and with it the shape that it had when that was made: unknown, if
    its layer waited for the first input. MXNet 1.9.1 then infers it anew for every graph, for which
    the product in a composition is in the way. Likewise D's shape follows from the weight's, which
    may come from a checkpoint.
    """
    if has_sizes(layer):
        experts = getattr(layer, "num_experts", None)
        for name, declared in declarations(layer.form, layer.weight, experts).items():
            layer._reg_params[name].shape = declared["shape"]
    for parameter in layer._reg_params.values():
        if parameter._var is not None and parameter._var.attr("__shape__") != str(parameter.shape):
            parameter._var = None
    own = map(layer._reg_params.get, ("weight", "bias", "D", "W_extra"))
    return [None if parameter is None else parameter.var() for parameter in own]


def has_values(conv: Any) -> bool:
    """Whether its parameters are initialized, not only declared."""
    return all(parameter._data is not None for parameter in conv._reg_params.values())


def read_W(conv: Any, spec: Spec) -> NDArray[Any]:
    """Canonical W: (O, I/g, S), or (E, O, I/g, S) of experts."""
    columns = [
        to_canonical(spec, _channels_first(conv, spec, parameter.data().asnumpy()), _layout(spec))
        for parameter in (conv.weight, getattr(conv, "W_extra", None))
        if parameter is not None
    ]
    return np.concatenate(columns, axis=-1)


def read_D(conv: Any) -> NDArray[Any] | None:
    """D, (I, K, S) or (E, I, K, S); None for K = 1, and for plain CondConv."""
    return None if conv.D is None else conv.D.data().asnumpy()


def write_W(conv: Any, spec: Spec, W: NDArray[Any]) -> None:
    """Write canonical W to ``weight`` and ``W_extra``; K columns of it to ``weight``."""
    K = spec.K
    write(conv.weight, _to_host(conv, spec, from_canonical(spec, W[..., :K], _layout(spec))))
    if W.shape[-1] > K:
        extra = from_canonical(spec, W[..., K:], _layout(spec), spatial=False)
        write(conv.W_extra, _to_host(conv, spec, extra))


def why_not_writable(parameter: Any) -> str:
    """Why :func:`write` could not write to a parameter; "" where it can."""
    if parameter._data is None:
        return messages.model.NO_VALUES_YET
    trainer = parameter._trainer
    if trainer is None or parameter in trainer._params_to_init:
        return ""
    # Its servers have the values, and MXNet has no way to set them there.
    of_servers = trainer._update_on_kvstore and "dist" in trainer._kvstore.type
    return gluon_messages.ON_SERVERS if of_servers else ""


def check_writable(name: str, *parameters: Any) -> None:
    """Raise ValueError if a parameter of a layer cannot be written to; None is no parameter."""
    for parameter in parameters:
        if parameter is not None and (reason := why_not_writable(parameter)):
            raise ValueError(gluon_messages.cannot_write(name, reason))


def write(parameter: Any, array: NDArray[Any]) -> None:
    """Set a parameter on every device, in its own type; see :func:`why_not_writable`."""
    for data in parameter.list_data():
        data[:] = 0  # the plain layout again, see below
    parameter.set_data(array)


def take_copies_from_weight(layer: Any) -> None:
    """Take from ``weight`` what the identity's further copies add to it, D being zero."""
    if layer.W_extra is not None:
        spec, W = layer.spec, read_W(layer, layer.spec).astype(np.float64)
        for start in range(spec.K, spec.S - spec.K + 1, spec.K):
            W[..., : spec.K] -= W[..., start : start + spec.K]
        write_W(layer, spec, W)


def clear_gradient(parameter: Any) -> None:
    """Set its gradient to zero on every device."""
    for gradient in parameter._grad or ():  # Parameter.zero_grad fails after mx.npx.set_np()
        gradient[:] = 0


def to_plain_layout(parameter: Any) -> None:
    """Undo what prediction did to a parameter's memory; its values stay.

    In prediction mode MXNet 1.9.1 leaves a convolution's weight in oneDNN's blocked layout. From
    that it can neither be transposed (with groups) nor be overwritten with a NumPy array; copies
    inherit it. Filling an array brings the plain layout back.
    """
    for data in parameter._data or ():
        values = data.asnumpy()
        data[:] = 0
        data[:] = values


def _check_sizes(layer: Any) -> None:
    if not has_sizes(layer):
        raise ValueError(messages.model.cannot_read("", messages.model.NO_VALUES_YET))


def _layout(spec: Spec) -> str:
    return "IOk" if spec.expert.transposed else "OIk"


def _channels_first(conv: Any, spec: Spec, array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, -1, _second(spec)) if _is_channels_last(conv) else array


def _to_host(conv: Any, spec: Spec, array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, _second(spec), -1) if _is_channels_last(conv) else array


def _is_channels_last(conv: Any) -> bool:
    return bool(conv._kwargs["layout"].endswith("C"))


def _second(spec: Spec) -> int:
    """The second channel axis, channels first."""
    return 1 + len(spec.leading)
