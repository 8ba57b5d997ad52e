"""PyTorch in the star of tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import doconv_torch
from doconv_core import LayerState, State
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_torch.layers.do_conv import LAYERS
from doconv_torch.layers.hosts import spec_of
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Arrays, Case
from tests.star.oracles.conv import Gradients
from tests.star.training import Loss


class TorchBackend(Backend):
    name = "torch"

    def _class(self, case: Case) -> type[nn.Module]:
        name = f"DOConv{'Transpose' if case.spec.transposed else ''}{case.ndim}d"
        return next(layer for layer in LAYERS if layer.__name__ == name)

    def _new(self, cls: type[nn.Module], case: Case, **ours: Any) -> Any:
        more = (
            {"output_padding": case.output_padding}
            if case.spec.transposed
            else {"padding_mode": case.padding_mode}
        )
        return cls(
            case.spec.in_channels,
            case.spec.out_channels,
            case.spec.kernel_size,
            stride=case.stride,
            padding=case.padding,
            dilation=case.dilation,
            groups=case.spec.groups,
            bias=case.bias,
            **more,
            **ours,
        )

    def layer(self, case: Case, arrays: Arrays, *, composition: str = "kernel") -> Any:
        layer = self._new(self._class(case), case, D_mul=case.spec.S, composition=composition)
        self.set_states(layer, {"": LayerState(case.spec, arrays.W, arrays.D, arrays.bias)})
        return layer

    def plain(self, case: Case, kernel: np.ndarray, bias: np.ndarray | None) -> Any:
        layer = self._new(self._class(case).host, case)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(from_canonical(case.spec, kernel, _layout(layer))))
            if bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
        return layer

    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return layer(torch.from_numpy(x)).numpy()

    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> Gradients:
        layer.zero_grad()
        given = torch.from_numpy(x).requires_grad_()
        layer(given).backward(torch.from_numpy(grad_y))
        spec = layer.spec
        W = [to_canonical(spec, layer.weight.grad.numpy(), _layout(layer))]
        if layer.W_extra is not None:
            W.append(to_canonical(spec, layer.W_extra.grad.numpy(), _layout(layer)))
        return Gradients(
            given.grad.numpy(),
            np.concatenate(W, axis=2),
            None if layer.D is None else layer.D.grad.numpy(),
            None if layer.bias is None else layer.bias.grad.numpy(),
        )

    def train(
        self, layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss, *, steps: int, lr: float
    ) -> Any:
        optimizer = torch.optim.SGD(layer.parameters(), lr)
        for _ in range(steps):
            optimizer.zero_grad()
            loss.term(layer(torch.from_numpy(x)), torch.from_numpy(target)).sum().backward()
            optimizer.step()
        return layer

    def states(self, model: Any) -> State:
        return doconv_torch.get_state(model)

    def set_states(self, model: Any, state: State) -> None:
        doconv_torch.set_state(model, state)

    def kernel(self, layer: Any) -> np.ndarray:
        over_parameterized = hasattr(layer, "composed_kernel")
        kernel = layer.composed_kernel() if over_parameterized else layer.weight
        return to_canonical(spec_of(layer), kernel.detach().numpy(), _layout(layer))

    def fold(self, layer: Any) -> Any:
        return layer.fold()

    def convert(self, model: Any, **options: Any) -> Any:
        return doconv_torch.convert(model, **options)

    def load_official(self, model: Any, checkpoint: dict[str, np.ndarray], source: str) -> None:
        doconv_torch.load_official(model, checkpoint, source=source)

    def network(self, layers: list[Any]) -> Any:
        return nn.Sequential(*(nn.Sequential(layer, nn.ReLU()) for layer in layers))


def _layout(layer: Any) -> str:
    return "IOk" if layer.transposed else "OIk"


BACKEND = TorchBackend()
