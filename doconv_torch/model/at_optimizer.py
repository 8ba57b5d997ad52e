"""DO-Conv at the optimizer: the network stays plain, only its training is over-parameterized.

A plain convolution's weight is the composed kernel at all times. Before each optimizer step its
gradient is pulled back to W and D, the optimizer updates those, and after the step the kernel is
composed again. That is the mathematics of a DO-Conv layer, but composition is paid once a step:
not for every forward pass, micro-batch, or use of a shared layer.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from doconv_core import DOConvSpec, messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_torch import messages as torch_messages
from doconv_torch.layers.families import family_of
from doconv_torch.model.training import New, add_parameters, refuse_partitioned, remove_parameters
from doconv_torch.model.walk import candidates
from doconv_torch.tensors.composition import compose_into, pull_back_


@dataclass
class _Layer:
    """One weight of the network, which changes between two arrays: a step updates W."""

    spec: DOConvSpec
    weight: nn.Parameter
    D: nn.Parameter
    kernel: Tensor
    """What ``weight`` holds between steps."""
    W: Tensor
    """What it holds within one."""
    beside: list[nn.Parameter]
    """The parameters of the layer as they are listed."""
    version: int
    """Of ``weight``, when it was last known to be what W and D compose to."""

    @property
    def new(self) -> New:
        """What joins the optimizer."""
        return New(self.weight, {"D": self.D}, [*self.beside, self.D])

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else wrote to ``weight``, moved or replaced its array."""
        moved = self.weight.data_ptr() != self.kernel.data_ptr()
        return moved or self.weight._version != self.version

    def compose(self) -> None:
        """Make ``weight`` the kernel."""
        self.weight.data = self.kernel
        compose_into(self.weight, self.W, self.D, self.spec)
        self.version = self.weight._version

    def take_over(self) -> None:
        """Follow ``weight`` to where its array is now."""
        self.kernel, self.version = self.weight.data, self.weight._version
        self.W = torch.empty_like(self.kernel).copy_(self.W)
        self.D.data = self.D.data.to(self.kernel)

    def adopt(self) -> bool:
        """Keep what ``weight`` holds now; whether that is not what W and D compose to."""
        self.take_over()
        composed = torch.empty_like(self.kernel)
        compose_into(composed, self.W, self.D, self.spec)
        if torch.equal(composed, self.kernel):
            return False
        self.W.copy_(self.kernel)
        self.D.zero_()
        return True


_active: weakref.WeakSet[OptimizerDOConv] = weakref.WeakSet()


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
        ValueError: no convolution could be over-parameterized, or one already is at
            this optimizer, or the optimizer has dealt its parameters out to processes.

    Note:
        Gradient clipping before ``step()`` sees the kernel's gradient, not W's and D's; and after
        it ``weight.grad`` is W's. An optimizer that calls a closure within ``step()`` (LBFGS) is
        refused there. What is written to a weight between steps (``load_state_dict``, ``clamp_``,
        an initializer) is kept, with a warning: W becomes it and D starts from zero again; only
        writing through ``weight.data`` goes unnoticed. To resume, load the model first, then
        :meth:`load_state_dict`. A weight that layers of different kinds share stays plain.

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
        where: Where | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(messages.layer.wrong_type("model", model, "a torch.nn.Module"))
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                messages.layer.wrong_type("optimizer", optimizer, "a torch.optim.Optimizer")
            )
        refuse_partitioned(optimizer)
        self._optimizer = optimizer
        self._layers = dict(_layers(model, optimizer, where))
        if not self._layers:
            raise ValueError(torch_messages.NOTHING_AT_OPTIMIZER)
        weights = {id(each.weight) for each in self._layers.values()}
        for other in (each for each in _active if each._optimizer is optimizer):
            for name, each in other._layers.items():
                if id(each.weight) in weights:
                    raise ValueError(torch_messages.already_at_optimizer(name))
        add_parameters(optimizer, [each.new for each in self._layers.values()])
        self._in_step = False
        self._hooks = (
            optimizer.register_step_pre_hook(self._to_factors),
            optimizer.register_step_post_hook(self._to_kernels),
        )
        _active.add(self)

    def remove(self) -> None:
        """Take the hooks off, and each D out: the optimizer goes on training the plain network."""
        self._settle()
        for hook in self._hooks:
            hook.remove()
        remove_parameters(self._optimizer, [each.D for each in self._layers.values()])
        _active.discard(self)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """W and D of each layer by name; W has the shape of ``weight``, D is (I, K, K)."""
        self._settle()
        return {
            name: {"W": each.W.clone(), "D": each.D.detach().clone()}
            for name, each in self._layers.items()
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore W and D, and with them the network's kernels.

        Raises:
            ValueError: the names or shapes are not those of :meth:`state_dict`. Nothing is
                changed then.
            TypeError: a value is no tensor. Nothing is changed then either.
        """
        own = {n: _shapes(n, {"W": each.W, "D": each.D}) for n, each in self._layers.items()}
        given = {name: _shapes(name, arrays) for name, arrays in state.items()}
        if own != given:
            raise ValueError(torch_messages.other_state(given, own))
        self._finish_step()
        for name, each in self._layers.items():
            each.take_over()
            each.W.copy_(state[name]["W"])
            each.D.copy_(state[name]["D"])
            each.compose()

    # Not for compilers: which array a weight holds changes here, behind a compiled graph's back.
    @torch.compiler.disable
    @torch.no_grad()
    def _to_factors(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Any) -> None:
        if any(closure is not None for closure in (*args[1:], *kwargs.values())):
            raise ValueError(torch_messages.NO_CLOSURE)
        self._settle()
        for each in self._layers.values():
            each.D.grad = None  # of an earlier step, if the model cleared its own gradients only
            if each.weight.grad is not None:
                each.D.grad = pull_back_(each.weight.grad, each.W, each.D, each.spec)
        self._in_step = True
        for each in self._layers.values():
            each.weight.data = each.W

    @torch.compiler.disable
    @torch.no_grad()
    def _to_kernels(self, *_: Any) -> None:
        for each in self._layers.values():
            each.compose()
        self._in_step = False

    def _finish_step(self) -> None:
        if self._in_step:  # it was interrupted: the network still holds W
            self._to_kernels()

    @torch.no_grad()
    def _settle(self) -> None:
        self._finish_step()
        written = [name for name, each in self._layers.items() if each.is_foreign and each.adopt()]
        if written:
            warnings.warn(torch_messages.weight_was_written(written), UserWarning, stacklevel=2)


def _layers(
    model: nn.Module, optimizer: Optimizer, where: Where | None
) -> Iterator[tuple[str, _Layer]]:
    """Those to over-parameterize: each weight once, under the first name of a layer that has it."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    found: dict[int, tuple[str, Any, set[DOConvSpec]]] = {}
    for names, module, *_ in plan(candidates(model, any_subclass=True), where).chosen:
        family = family_of(module)
        assert family is not None
        weight, spec = module.weight, family.converted_spec(module)
        if id(weight) in trained and isinstance(spec, DOConvSpec):  # not CondConv's experts
            found.setdefault(id(weight), (names[0], module, set()))[2].add(spec)
    for name, module, specs in found.values():
        if len(specs) == 1:
            (spec,), weight, beside = specs, module.weight, list(module.parameters())
            D = nn.Parameter(weight.new_zeros(spec.D_shape), weight.requires_grad)
            W = weight.detach().clone()
            yield name, _Layer(spec, weight, D, weight.data, W, beside, weight._version)


def check_not_at_optimizer(chosen: Iterable[Candidate]) -> None:
    """Raise ValueError for a layer whose weight an OptimizerDOConv trains."""
    trained = {id(each.weight) for over in _active for each in over._layers.values()}
    for names, layer, *_ in chosen:
        if id(layer.weight) in trained:
            raise ValueError(torch_messages.is_at_optimizer(names[0]))


def _shapes(layer: str, arrays: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    for name, array in arrays.items():
        if not isinstance(array, Tensor):
            raise TypeError(messages.layer.wrong_type(f"{layer}.{name}", array, "a torch.Tensor"))
    return {name: tuple(array.shape) for name, array in sorted(arrays.items())}
