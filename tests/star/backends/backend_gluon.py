"""MXNet Gluon in the star of tests."""

from __future__ import annotations

from typing import Any

import numpy as np

import doconv_gluon
from doconv_core import DOConvSpec, LayerState, State
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_gluon.layers.arrays import spec_of
from doconv_gluon.layers.do_conv import LAYERS
from doconv_gluon.mxnet import mx
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Arrays, Case
from tests.star.oracles.conv import Gradients
from tests.star.training import Loss

nn = mx.gluon.nn


def ndarray(array: np.ndarray) -> Any:
    """What mx.nd.array gives, without its look at scipy.sparse.csr, which warns."""
    made = mx.nd.empty(array.shape, dtype=array.dtype)
    made[:] = array
    return made


class GluonBackend(Backend):
    name = "gluon"

    def unsupported(self, case: Case) -> str:
        if case.padding_mode != "zeros":
            return "the host's convolutions pad with zeros only"
        if case.spec.transposed and case.ndim == 3 and max(case.dilation) > 1:
            return "the host's transposed convolutions in 3 dimensions have no dilation"
        return ""

    def _class(self, case: Case) -> type:
        name = f"DOConv{case.ndim}D{'Transpose' if case.spec.transposed else ''}"
        return next(layer for layer in LAYERS if layer.__name__ == name)

    def _new(self, cls: type, case: Case, **ours: Any) -> Any:
        more = {"output_padding": case.output_padding} if case.spec.transposed else {}
        layer = cls(
            case.spec.out_channels,
            case.spec.kernel_size,
            strides=case.stride,
            padding=case.padding,
            dilation=case.dilation,
            groups=case.spec.groups,
            use_bias=case.bias,
            in_channels=case.spec.in_channels,
            **more,
            **ours,
        )
        layer.initialize()
        return layer

    def layer(self, case: Case, arrays: Arrays, *, composition: str = "kernel") -> Any:
        layer = self._new(self._class(case), case, D_mul=case.spec.S, composition=composition)
        self.set_states(layer, {"": LayerState(case.spec, arrays.W, arrays.D, arrays.bias)})
        return layer

    def plain(self, case: Case, kernel: np.ndarray, bias: np.ndarray | None) -> Any:
        layer = self._new(self._class(case).host, case)
        layer.weight.set_data(from_canonical(case.spec, kernel, _layout(case.spec)))
        if bias is not None:
            layer.bias.set_data(bias)
        return layer

    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        return layer(ndarray(x)).asnumpy()

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> Gradients:
        given = ndarray(x)
        given.attach_grad()
        with mx.autograd.record():
            y = layer(given)
        y.backward(ndarray(grad_y))
        parameters = [p for p in (layer.weight, layer.W_extra) if p is not None]
        layout = _layout(layer.spec)
        W = [to_canonical(layer.spec, p.grad().asnumpy(), layout) for p in parameters]
        return Gradients(
            given.grad.asnumpy(),
            np.concatenate(W, axis=2),
            None if layer.D is None else layer.D.grad().asnumpy(),
            None if layer.bias is None else layer.bias.grad().asnumpy(),
        )

    def train(
        self, layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss, *, steps: int, lr: float
    ) -> Any:
        trainer = mx.gluon.Trainer(layer.collect_params(), "sgd", {"learning_rate": lr})
        for _ in range(steps):
            with mx.autograd.record():
                value = loss.term(layer(ndarray(x)), ndarray(target)).sum()
            value.backward()
            trainer.step(1)
        return layer

    def states(self, model: Any) -> State:
        return doconv_gluon.get_state(model)

    def set_states(self, model: Any, state: State) -> None:
        doconv_gluon.set_state(model, state)

    def kernel(self, layer: Any) -> np.ndarray:
        over_parameterized = hasattr(layer, "composed_kernel")
        kernel = layer.composed_kernel() if over_parameterized else layer.weight.data()
        spec = spec_of(layer)
        return to_canonical(spec, kernel.asnumpy(), _layout(spec))

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def convert(self, model: Any, **options: Any) -> Any:
        return doconv_gluon.convert(model, **options)

    def load_official(self, model: Any, checkpoint: dict[str, np.ndarray], source: str) -> None:
        doconv_gluon.load_official(model, checkpoint, source=source)

    def network(self, layers: list[Any]) -> Any:
        model = nn.HybridSequential()
        for layer in layers:
            model.add(layer, nn.Activation("relu"))
        return model


class HybridizedGluonBackend(GluonBackend):
    """The same layers, each compiled to its graph."""

    name = "gluon, hybridized"

    def _new(self, cls: type, case: Case, **ours: Any) -> Any:
        layer = super()._new(cls, case, **ours)
        layer.hybridize(static_alloc=True, static_shape=True)
        return layer


def _layout(spec: DOConvSpec) -> str:
    return "IOk" if spec.transposed else "OIk"


BACKEND = GluonBackend()
HYBRIDIZED = HybridizedGluonBackend()
