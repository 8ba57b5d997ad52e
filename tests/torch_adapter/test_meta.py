"""Models that are made without memory: D is zero once it has some, whoever gives it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from doconv_torch import CondConv2d, DOConv2d, convert, fold
from tests.torch_adapter.helpers import ConvSame, images, network


@pytest.fixture(autouse=True)
def _garbage() -> Iterator[None]:
    """Uninitialized memory is NaN, so that reading it is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_uninitialized_memory_is_seen_here() -> None:
    assert torch.empty(3).isnan().all()


def to_empty(model: nn.Module) -> None:
    model.to_empty(device="cpu")


def by_parameter(model: nn.Module) -> None:
    """transformers' PreTrainedModel._move_missing_keys_from_meta_to_device (5.23)."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                value = torch.empty_like(parameter, device="cpu")
                module._parameters[name] = nn.Parameter(value, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = torch.empty_like(buffer, device="cpu")


def loaded(model: nn.Module) -> None:
    """A plain checkpoint, assigned."""
    model.load_state_dict(network().state_dict(), strict=True, assign=True)


def replaced(model: nn.Module) -> None:
    """FSDP2 makes new parameters before they have memory."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
                module._parameters[name] = empty
    to_empty(model)


FLOWS: dict[str, Callable[[nn.Module], None]] = {
    "to_empty": to_empty,
    "by parameter": by_parameter,
    "replaced": replaced,
    "load_state_dict": loaded,
    "of a copy": lambda model: loaded(copy.deepcopy(model)) or to_empty(model),  # type: ignore[func-returns-value]
}


@pytest.mark.integration("meta device", "convert", "train", resume="a plain state")
@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_D_is_zero_as_soon_as_it_has_memory(flow: Any, D_mul: int | None) -> None:
    with torch.device("meta"):
        model = convert(network(), D_mul=D_mul)
    assert model[0].D.is_meta
    flow(model)
    ours = {n: p for n, p in model.named_parameters() if n.endswith((".D", "W_extra"))}
    assert ours
    for parameter in ours.values():
        assert type(parameter) is nn.Parameter
        assert parameter.requires_grad
        assert not parameter.is_meta
        assert parameter.isfinite().all()
    assert not any(p.any() for n, p in ours.items() if n.endswith(".D"))
    model.load_state_dict(network().state_dict(), strict=False)
    assert torch.equal(model.eval()(images()), network().eval()(images()))
    model.train()(images()).sum().backward()
    assert model[0].D.grad.any()


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "constructed": lambda: DOConv2d(3, 4, 3),
    "experts": lambda: CondConv2d(3, 4, 3, num_experts=2, D_mul="K"),
    "converted from meta": lambda: convert(nn.Conv2d(3, 4, 3)),
    "parametrized": lambda: convert(ConvSame(3, 4, 3), subclasses="parametrize"),
}


@pytest.mark.integration("meta device", "fold")
@pytest.mark.parametrize("flow", [to_empty, replaced], ids=["to_empty", "replaced"])
@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_layers(build: Any, flow: Any) -> None:
    with torch.device("meta"):
        layer = build()
    layer = copy.deepcopy(layer)
    flow(layer)
    (D,) = (p for n, p in layer.named_parameters() if n.rpartition(".")[-1] == "D")
    assert not D.any()
    layer.requires_grad_(False)
    for name, parameter in layer.named_parameters():
        if name.rpartition(".")[-1] != "D":
            nn.init.ones_(parameter)
    assert fold(layer)(images()).isfinite().all()


def test_a_parameter_is_made_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate.init_empty_weights (1.15) makes every parameter anew when it is registered."""
    register = nn.Module.register_parameter

    def register_empty(module: nn.Module, name: str, parameter: Any) -> None:
        register(module, name, parameter)
        if parameter is not None:
            kind, options = type(module._parameters[name]), dict(vars(parameter))
            options["requires_grad"] = parameter.requires_grad
            empty = module._parameters[name].to("meta")  # type: ignore[union-attr]
            module._parameters[name] = kind(empty, **options)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "register_parameter", register_empty)
        model = convert(network())
    to_empty(model)
    assert not model[0].D.any()
