"""DO-Conv at the optimizer: the network stays plain, only its training is over-parameterized.

A plain convolution's weight is the composed kernel at all times. Before each optimizer step its
gradient is pulled back to W and D, the optimizer updates those, and after the step the kernel is
composed again. That is the mathematics of a DO-Conv layer, but composition is paid once a step:
not for every forward pass, micro-batch, or use of a shared layer.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from doconv_core import DOConvSpec, messages
from doconv_core.model.planning import Candidate, Where, plan
from doconv_torch import messages as torch_messages
from doconv_torch.layers.families import family_of
from doconv_torch.model.factored import Factored
from doconv_torch.model.training import (
    add_parameters,
    refuse_partitioned,
    refuse_wrapper,
    remove_parameters,
)
from doconv_torch.model.walk import candidates
from doconv_torch.tensors.initialization import Spec, apart_generator, arrays_beside

_active: weakref.WeakSet[OptimizerDOConv] = weakref.WeakSet()

KEY = "doconv"
"""Under which W and D are in the optimizer's ``state_dict()``, by the position of their weight."""


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
        where: picks layers, as in :func:`convert`.
        D_mul: columns of W, as in :func:`convert`.

    Raises:
        TypeError: ``model`` is not a module, or ``optimizer`` not an optimizer.
        ValueError: no convolution could be over-parameterized, or one already is at
            this optimizer, or D_mul is too small for one, or the optimizer has dealt its
            parameters out to processes, holds another optimizer, or exchanges the parameters'
            values between steps. Model and optimizer are then as they were.

    Note:
        * **Checkpoints**: W and D are in ``optimizer.state_dict()``, so whoever saves and loads
          the model and the optimizer, in either order, resumes exactly. Make the OptimizerDOConv
          first: the optimizer's state has places for each D.
        * **Closures**: ``step(closure)`` works, also where an optimizer evaluates it several
          times (LBFGS).
        * **Gradient clipping** before ``step()`` sees the kernel's gradient, not W's and D's,
          which together are larger (1.01 times in ResNet-18, 1.02 to 1.04 in MobileNetV2); so the
          same bound clips a little less than in a converted network. After ``step()``,
          ``weight.grad`` is W's.
        * What is written to a weight between steps (``load_state_dict``, ``clamp_``, an
          initializer) is kept, with a warning: W becomes it and D starts from zero again; only
          writing through ``weight.data`` goes unnoticed.
        * A weight that layers of different kinds share stays plain.

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
        D_mul: int | str | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(messages.layer.wrong_type("model", model, "a torch.nn.Module"))
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                messages.layer.wrong_type("optimizer", optimizer, "a torch.optim.Optimizer")
            )
        refuse_partitioned(optimizer)
        refuse_wrapper(optimizer)
        self._optimizer = optimizer
        self._layers = _layers(model, optimizer, where, D_mul)
        weights = {id(each.weight) for each in self._layers.values()}
        for other in (each for each in _active if each._optimizer is optimizer):
            for name, each in other._layers.items():
                if id(each.weight) in weights:
                    raise ValueError(torch_messages.already_at_optimizer(name))
        self._model = model
        self._in_step = False
        self._guards: tuple[RemovableHandle, ...] = ()
        self._loaded: dict[int, dict[str, Tensor]] | None = None
        # Not for compilers: which array a weight holds changes in a step, behind a compiled graph's
        # back. Not as decorators, which would import the compiler with this package (1.5 s).
        before, after = map(torch.compiler.disable, (self._before_step, self._after_step))
        self._hooks = (
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
            optimizer.register_state_dict_post_hook(self._add_factors),
            optimizer.register_load_state_dict_pre_hook(self._check_factors),
            optimizer.register_load_state_dict_post_hook(self._take_factors),
        )
        add_parameters(optimizer, [each.new for each in self._layers.values()])
        _active.add(self)

    def __repr__(self) -> str:
        kind, names = type(self._optimizer).__name__, ", ".join(map(repr, self._layers))
        added = sum(p.numel() for each in self._layers.values() for p in each.ours.values())
        return (
            f"OptimizerDOConv({kind}, {len(self._layers)} layers, +{added:,} parameters: {names})"
        )

    def remove(self) -> None:
        """Take the hooks off, and each D out: the optimizer goes on training the plain network."""
        self._settle()
        for hook in self._hooks:
            hook.remove()
        ours = [p for each in self._layers.values() for p in each.ours.values()]
        remove_parameters(self._optimizer, ours)
        _active.discard(self)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """W and D (and W_extra) of each layer by name; W has the shape of ``weight``.

        The optimizer's own state holds the same.
        """
        self._settle()
        return {
            name: {array: values.clone() for array, values in each.factors.items()}
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
        own = {n: _shapes(n, each.factors) for n, each in self._layers.items()}
        given = {name: _shapes(name, arrays) for name, arrays in state.items()}
        if own != given:
            raise ValueError(torch_messages.other_state(given, own))
        self._finish_step()
        for name, each in self._layers.items():
            each.restore(state[name])

    # --- in a step

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Any) -> Any:
        self._settle()
        closure = kwargs.get("closure") or next(
            (each for each in args[1:2] if callable(each)), None
        )
        if closure is None:
            self._to_factors()
            return None
        # torch's own optimizers begin with the closure, so that the kernels can stay until then.
        if not type(optimizer).__module__.startswith("torch.optim"):
            self._to_factors()
        evaluated = self._evaluated(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": evaluated}
        return (args[0], evaluated, *args[2:]), kwargs

    def _evaluated(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure as the optimizer may call it: it computes with kernels."""

        def evaluate() -> Any:
            self._finish_step()
            with torch.enable_grad():
                loss = closure()
            with torch.no_grad():
                self._to_factors()
            return loss

        return evaluate

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self._finish_step()
        self._take_guards_off()
        for each in self._layers.values():
            for parameter in each.ours.values():
                parameter.grad = None  # the model's zero_grad() knows nothing of it

    def _to_factors(self) -> None:
        self._put_guards_on()
        for each in self._layers.values():
            each.pull_back()
        self._in_step = True
        for each in self._layers.values():
            each.weight.data = each.W

    @torch.no_grad()
    def _finish_step(self) -> None:
        if self._in_step:
            # Backwards: caches hold the last ones' W, and the first ones' kernels are used next.
            for each in reversed(self._layers.values()):
                each.compose()
            self._in_step = False

    def _put_guards_on(self) -> None:
        """Whoever meets an interrupted step, evaluating or saving the network, finishes it."""
        if not self._guards:
            model, finish = self._model, _Finish(self)
            on_call = model.register_forward_pre_hook(finish)
            self._guards = (on_call, model.register_state_dict_pre_hook(finish))

    def _take_guards_off(self) -> None:
        for guard in self._guards:
            guard.remove()
        self._guards = ()

    @torch.no_grad()
    def _settle(self) -> None:
        self._finish_step()  # if it was interrupted, the network still holds W
        self._take_guards_off()
        written = [name for name, each in self._layers.items() if each.is_foreign and each.adopt()]
        if written:
            warnings.warn(torch_messages.weight_was_written(written), UserWarning, stacklevel=2)

    # --- in the optimizer's state

    def _positions(self) -> dict[int, Factored]:
        """Each layer under the number that the optimizer's state has for its weight."""
        layers = {id(each.weight): each for each in self._layers.values()}
        params = (p for group in self._optimizer.param_groups for p in group["params"])
        return {i: layers[id(p)] for i, p in enumerate(params) if id(p) in layers}

    def _add_factors(self, _: Optimizer, state: dict[str, Any]) -> None:
        if _is_named_by_the_model():
            raise ValueError(torch_messages.NO_NAMES)
        self._settle()
        own = {i: each.factors for i, each in self._positions().items()}
        state[KEY] = {**state.get(KEY, {}), **own}

    def _check_factors(self, _: Optimizer, state: dict[str, Any]) -> None:
        self._loaded = None
        if KEY not in state:
            warnings.warn(torch_messages.NO_FACTORS, UserWarning, stacklevel=3)
            return
        own = {i: _shapes(str(i), each.factors) for i, each in self._positions().items()}
        given = {i: _shapes(str(i), state[KEY][i]) for i in own if i in state[KEY]}
        if own != given:
            raise ValueError(torch_messages.other_factors(given, own))
        self._loaded = {i: state[KEY][i] for i in own}

    @torch.no_grad()
    def _take_factors(self, _: Optimizer) -> None:
        if self._loaded is not None:
            self._finish_step()
            for i, each in self._positions().items():
                each.restore(self._loaded[i])
            self._loaded = None


class _Finish:
    """A hook, for the duration of a step. In a copy or pickle of the network it does nothing."""

    def __init__(self, over: OptimizerDOConv | None = None) -> None:
        self._over = over

    def __call__(self, *_: Any) -> None:
        if self._over is not None:
            self._over._finish_step()

    def __reduce__(self) -> Any:
        self()  # a module's hooks are copied and pickled before the modules in it
        return _Finish, ()


def _layers(
    model: nn.Module, optimizer: Optimizer, where: Where | None, D_mul: int | str | None
) -> dict[str, Factored]:
    """Those to over-parameterize: each weight once, under the first name of a layer that has it."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    decided = plan(candidates(model, any_subclass=True), where)
    reasons = decided.reasons + Counter({torch_messages.DONE: decided.already})
    found: dict[int, tuple[str, Any, set[Spec]]] = {}
    for names, module, *_ in decided.chosen:
        family = family_of(module)
        assert family is not None
        if id(module.weight) not in trained:
            reasons[torch_messages.NOT_HELD] += 1
        else:
            one = found.setdefault(id(module.weight), (names[0], module, set()))
            one[2].add(family.converted_spec(module, D_mul))
    made, generator = {}, apart_generator()
    for name, module, specs in found.values():
        spec = next(iter(specs))
        if len(specs) > 1 or not isinstance(spec, DOConvSpec):
            reasons[torch_messages.SHARED if len(specs) > 1 else torch_messages.EXPERTS] += 1
            continue
        weight = module.weight
        D, W_extra = arrays_beside(spec, weight, generator)
        assert D is not None
        arrays = (weight, D, W_extra, weight.data, weight.detach().clone())
        made[name] = Factored(spec, *arrays, list(module.parameters()), weight._version)
    if not made:
        raise ValueError(torch_messages.nothing_at_optimizer(+reasons))
    return made


def _is_named_by_the_model() -> bool:
    """Whether torch.distributed.checkpoint asks, which calls parameters by the model's names.

    D has none. Torch 2.13 dies of that by a KeyError of a number.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.distributed.checkpoint.state_dict":
            return True
        frame = frame.f_back
    return False


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
