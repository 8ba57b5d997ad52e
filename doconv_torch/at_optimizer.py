"""DO-Conv at the optimizer: the network stays plain, only its training is over-parameterized.

A plain convolution's weight is the composed kernel at all times. Before each optimizer step its
gradient is pulled back to W and D, the optimizer updates those, and after the step the kernel is
composed again. That is the mathematics of a DO-Conv layer, but composition is paid once a step:
not for every forward pass, micro-batch, or use of a shared layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer

from doconv_core import DOConvSpec, messages
from doconv_torch.arrays import plain_spec
from doconv_torch.composition import compose_into, pull_back_
from doconv_torch.eligibility import is_convolution, why_plain
from doconv_torch.optimizer import add_parameters


class _Layer(NamedTuple):
    spec: DOConvSpec
    weight: nn.Parameter
    """The network's own: it holds the kernel, and during a step W."""
    other: Tensor
    """The other one of the two."""
    D: nn.Parameter


class OptimizerDOConv:
    """Over-parameterize the training of a plain network, through hooks on its optimizer.

    The network is not converted and needs no fold: at any time it is the plain network, computing
    what the folded DO-Conv network would. With the same optimizer its weights follow the path of
    the converted network's, to rounding. Any code that knows a plain convolution works:
    compilers, autocast, distributed wrappers, export.

    Args:
        model: any module, its convolutions plain.
        optimizer: holds the model's parameters. Each D joins the group of its weight, so weight
            decay and momentum act on W and D as in a converted network.
        where: ``where(name, layer)`` picks layers; None picks all.

    Raises:
        TypeError: ``model`` is not a module, or ``optimizer`` not an optimizer.
        ValueError: no convolution could be over-parameterized.

    Note:
        Gradient clipping before ``step()`` sees the kernel's gradient, not W's and D's; and after
        it ``weight.grad`` is W's. An optimizer that calls a closure within ``step()`` (LBFGS) is
        refused there. To stop, and to resume later, keep :meth:`state_dict`.

    Source: the chain rule on arXiv 2006.12030, eq. 4, moved from the layer to the optimizer.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> over = OptimizerDOConv(model, optimizer)
        >>> model(torch.randn(2, 3, 8, 8)).square().mean().backward()
        >>> optimizer.step()
        >>> model[0]
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        where: Callable[[str, nn.Module], bool] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(messages.wrong_type("model", model, "a torch.nn.Module"))
        if not isinstance(optimizer, Optimizer):
            raise TypeError(messages.wrong_type("optimizer", optimizer, "a torch.optim.Optimizer"))
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._layers: dict[str, _Layer] = {}
        seen: set[int] = set()
        for name, module in model.named_modules():
            if not is_convolution(module) or why_plain(module, any_subclass=True):
                continue
            assert isinstance(module, _ConvNd)
            weight = module.weight
            assert isinstance(weight, nn.Parameter)
            if (
                id(weight) in seen
                or id(weight) not in trained
                or (where and not where(name, module))
            ):
                continue
            seen.add(id(weight))
            spec = plain_spec(module, None)
            D = nn.Parameter(weight.new_zeros(spec.D_shape), weight.requires_grad)
            self._layers[name] = _Layer(spec, weight, weight.detach().clone(), D)
        if not self._layers:
            raise ValueError(messages.NOTHING_CONVERTED)
        add_parameters(optimizer, [(each.weight, {"D": each.D}) for each in self._layers.values()])
        self._in_step = False
        self._hooks = (
            optimizer.register_step_pre_hook(self._to_factors),
            optimizer.register_step_post_hook(self._to_kernels),
        )

    def remove(self) -> None:
        """Take the hooks off: the optimizer goes on training the plain network."""
        self._settle()
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """W and D of each layer by name; W has the shape of ``weight``, D is (I, K, K)."""
        self._settle()
        return {
            name: {"W": each.other.clone(), "D": each.D.detach().clone()}
            for name, each in self._layers.items()
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore W and D, and with them the network's kernels.

        Raises:
            ValueError: the names or shapes are not those of :meth:`state_dict`. Nothing is
                changed then.
        """
        own = {name: _shapes(arrays) for name, arrays in self.state_dict().items()}
        given = {name: _shapes(arrays) for name, arrays in state.items()}
        if own != given:
            raise ValueError(messages.other_state(given, own))
        for name, each in self._layers.items():
            each.other.copy_(state[name]["W"])
            each.D.copy_(state[name]["D"])
            compose_into(each.weight, each.other, each.D, each.spec)

    @torch.no_grad()
    def _to_factors(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Any) -> None:
        if any(closure is not None for closure in (*args[1:], *kwargs.values())):
            raise ValueError(messages.NO_CLOSURE)
        self._settle()
        self._in_step = True
        for each in self._layers.values():
            if each.weight.grad is not None:
                each.D.grad = pull_back_(each.weight.grad, each.other, each.D, each.spec)
            _swap(each)

    def _settle(self) -> None:
        # After a step that was interrupted, the network still holds W: no second hook came.
        if self._in_step:
            self._to_kernels()

    @torch.no_grad()
    def _to_kernels(self, *_: Any) -> None:
        self._in_step = False
        for each in self._layers.values():
            _swap(each)
            compose_into(each.weight, each.other, each.D, each.spec)


def _swap(layer: _Layer) -> None:
    # Exchange storage, not values: weight stays the Parameter that everyone holds.
    layer.weight.data, layer.other.data = layer.other.data, layer.weight.data


def _shapes(arrays: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in sorted(arrays.items())}
