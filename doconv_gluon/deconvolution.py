"""``Deconvolution`` whose kernel is computed, which MXNet 1.9.1 cannot differentiate on a CPU.

There its oneDNN backward pass swaps the channel axes of the kernel's gradient in an array that
may have no memory yet. A parameter's gradient has, that of any intermediate array has not:
"could not execute a primitive", or the process ends. So the operator runs inside a custom one,
which hands it arrays that exist. Values are those of the host's operator, bit for bit.
"""

from __future__ import annotations

import json
from typing import Any

from doconv_gluon._compat import mx

_NAME = "doconv_deconvolution"


def deconvolution(F: Any, inputs: list[Any], arguments: dict[str, Any]) -> Any:
    """The host's ``Deconvolution`` with a computed kernel.

    Args:
        F: ``mxnet.nd`` or ``mxnet.sym``.
        inputs: x (B, I, *in), kernel (I, O/g, *k), and (O,) where there is a bias.
        arguments: the host operator's.
    """
    return F.Custom(*inputs, op_type=_NAME, arguments=json.dumps(arguments), name="fwd")


class _Deconvolution(mx.operator.CustomOp):  # type: ignore[misc, name-defined]
    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments

    def forward(self, is_train: bool, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self.assign(out_data[0], req[0], mx.nd.Deconvolution(*in_data, **self.arguments))

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        inputs = [array.detach() for array in in_data]
        for array in inputs:
            array.attach_grad()
        with mx.autograd.record():
            y = mx.nd.Deconvolution(*inputs, **self.arguments)
        y.backward(out_grad[0])
        for target, request, array in zip(in_grad, req, inputs, strict=True):
            self.assign(target, request, array.grad)


@mx.operator.register(_NAME)
class _DeconvolutionProp(mx.operator.CustomOpProp):  # type: ignore[misc, name-defined]
    def __init__(self, arguments: str) -> None:
        super().__init__(need_top_grad=True)
        self.arguments = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(arguments).items()
        }

    def list_arguments(self) -> list[str]:
        return ["x", "kernel"] if self.arguments["no_bias"] else ["x", "kernel", "bias"]

    def infer_shape(self, in_shape: Any) -> tuple[Any, Any, Any]:
        # As the host's operator does it; the kernel's shape may be known from the input's only.
        inputs = [
            mx.sym.var(name, shape=tuple(shape))
            for name, shape in zip(self.list_arguments(), in_shape, strict=True)
        ]
        y = mx.sym.Deconvolution(*inputs, **self.arguments)
        shapes, outputs, _ = y.infer_shape_partial()
        return shapes, outputs, []

    def declare_backward_dependency(
        self, out_grad: list[int], in_data: list[int], out_data: list[int]
    ) -> list[int]:
        return [*out_grad, *in_data]

    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> _Deconvolution:
        return _Deconvolution(self.arguments)
