"""OptimizerDOConv beside code that knows nothing of it: writes, moves, compilers, interrupts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from doconv_torch import OptimizerDOConv, convert, fold
from doconv_torch.model import factored
from tests.torch_adapter.test_at_optimizer import assert_same, batch, network, torch_sgd, train


def started(rate: float = 0.1) -> tuple[nn.Sequential, torch.optim.Optimizer, OptimizerDOConv]:
    model = network()
    optimizer = torch_sgd(model.parameters(), rate)
    return model, optimizer, OptimizerDOConv(model, optimizer)


def another_array(model: nn.Module) -> None:
    model[0].weight.data = torch.ones_like(model[0].weight)


def clip(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.clamp_(-0.05, 0.05)


WRITES: dict[str, Callable[[nn.Module], object]] = {
    "load_state_dict": lambda model: model.load_state_dict(network().state_dict()),
    "clamp_": clip,
    "init": lambda model: nn.init.zeros_(model[0].weight),
    "another array": another_array,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_others_write_to_a_weight_is_kept(write: Any) -> None:
    model, optimizer, over = started()
    train(model, optimizer, range(3))
    write(model)
    written = copy.deepcopy(model)
    optimizer.zero_grad()
    with pytest.warns(UserWarning, match="were written to between steps, the first of them '0'"):
        optimizer.step()
    assert_same(model, written, 0)
    assert not over.state_dict()["0"]["D"].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_small_write_is_kept_as_well(dtype: torch.dtype) -> None:
    model = network().to(dtype)
    optimizer = torch_sgd(model.parameters(), 0.1)
    OptimizerDOConv(model, optimizer)
    model(batch(0).to(dtype)).square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        model[0].weight.mul_(0.98 if dtype is torch.bfloat16 else 0.99999)
    written = model[0].weight.detach().clone()
    optimizer.zero_grad()
    with pytest.warns(UserWarning, match="were written to between steps"):
        optimizer.step()
    assert torch.equal(model[0].weight, written)


def test_from_what_was_written_it_goes_on_as_a_network_that_starts_there() -> None:
    (model, optimizer, _), (other, its_optimizer, _) = started(), started()
    train(model, optimizer, range(3))
    model.load_state_dict(other.state_dict())
    with pytest.warns(UserWarning, match=r"the weights of 4 layer\(s\) were written to"):
        train(model, optimizer, range(3))
    train(other, its_optimizer, range(3))
    assert_same(model, other)


def same_values(model: nn.Module) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()))


MOVES: dict[str, Callable[[nn.Module], object]] = {
    "same values": same_values,
    "channels_last": lambda model: model.to(memory_format=torch.channels_last),
    "there and back": lambda model: [same_values(model) for _ in range(2)],
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_move_keeps_W_and_D(move: Any) -> None:
    (model, optimizer, _), (other, its_optimizer, _) = started(), started()
    train(model, optimizer, range(3))
    train(other, its_optimizer, range(3))
    move(model)
    train(model, optimizer, range(3, 6))
    train(other, its_optimizer, range(3, 6))
    assert_same(model, other)


def test_a_model_that_is_cast_goes_on() -> None:
    model, optimizer, over = started()
    model.float()
    optimizer.zero_grad()
    model(batch(0).float()).square().mean().backward()
    optimizer.step()
    assert {p.dtype for group in optimizer.param_groups for p in group["params"]} == {torch.float32}
    assert over.state_dict()["0"]["D"].any()


def test_gradients_that_the_model_cleared_train_no_D() -> None:
    model, optimizer, _ = started()
    train(model, optimizer, range(2))
    trained = copy.deepcopy(model)
    model.zero_grad()  # knows nothing of D
    optimizer.step()
    assert_same(model, trained)


def test_an_interrupt_while_gradients_are_pulled_back_changes_no_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, optimizer, over = started()
    train(model, optimizer, range(2))
    trained, state = copy.deepcopy(model), over.state_dict()
    calls = iter([factored.pull_back_])

    def interrupted(*arguments: Any) -> Any:
        for call in calls:
            return call(*arguments)
        raise KeyboardInterrupt

    model(batch(0)).sum().backward()
    with monkeypatch.context() as patch:
        patch.setattr(factored, "pull_back_", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.step()
    assert_same(model, trained, 0)
    after = over.state_dict()
    assert all(torch.equal(after[n][k], state[n][k]) for n in state for k in ("W", "D"))


# Inductor of torch 2.13 loads deprecated parts of torch.
@pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated")
def test_a_compiled_step_is_the_eager_one() -> None:
    """By Inductor: its graph would hold on to arrays that the weights no longer have."""
    (model, optimizer, _), (other, its_optimizer, _) = started(), started()
    compiled = torch.compile(optimizer.step)
    for step in range(3):
        for net, update in ((model, compiled), (other, its_optimizer.step)):
            net.zero_grad()
            net(batch(step)).square().mean().backward()
            update()
    assert_same(model, other)


def test_a_step_within_autocast_composes_in_the_parameters_precision() -> None:
    model = network().float()
    optimizer = torch_sgd(model.parameters(), 0.1)
    OptimizerDOConv(model, optimizer)
    other, converted = copy.deepcopy(model), convert(model)
    its_optimizer = torch_sgd(converted.parameters(), 0.1)
    for step in range(3):
        for net, its in ((model, optimizer), (converted, its_optimizer)):
            its.zero_grad()
            net(batch(step).float()).square().mean().backward()
            with torch.autocast("cpu", torch.bfloat16):
                its.step()
    assert_same(model, fold(converted), 1e-6)
    assert not torch.equal(model[0].weight, other[0].weight)


def test_a_weight_that_layers_of_different_kinds_share_stays_plain() -> None:
    model = nn.ModuleList([nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 3)])
    model[1].weight = model[0].weight
    over = OptimizerDOConv(model, torch_sgd(model.parameters(), 0.1))
    assert list(over.state_dict()) == ["2"]


def test_removed_and_made_again() -> None:
    model, optimizer, over = started()
    train(model, optimizer, range(2))
    over.remove()
    own = {id(p) for p in model.parameters()}
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == own
    torch_sgd(network().parameters(), 0.1).load_state_dict(optimizer.state_dict())
    again = OptimizerDOConv(model, optimizer)
    before = copy.deepcopy(model)
    train(model, optimizer, range(2))
    assert again.state_dict()["0"]["D"].any()
    assert not torch.equal(model[0].weight, before[0].weight)


def test_training_goes_on_with_another_optimizer() -> None:
    """The first one is still there, as in a notebook whose cell runs again."""
    model, first, _ = started()
    train(model, first, range(2))
    other = copy.deepcopy(model)
    for net in (model, other):
        optimizer = torch_sgd(net.parameters(), 0.05)
        OptimizerDOConv(net, optimizer)
        train(net, optimizer, range(2, 5))
    assert_same(model, other, 0)


def test_names_of_parameters_leave_with_them() -> None:
    model = network()
    optimizer = torch_sgd(model.named_parameters(), 0.1)
    before = list(optimizer.param_groups[0]["param_names"])
    over = OptimizerDOConv(model, optimizer)
    assert "0.D" in optimizer.param_groups[0]["param_names"]
    over.remove()
    assert optimizer.param_groups[0]["param_names"] == before


def test_errors_change_nothing() -> None:
    model, optimizer, over = started()
    train(model, optimizer, range(2))
    before, groups = copy.deepcopy(model), len(optimizer.param_groups[0]["params"])
    with pytest.raises(ValueError, match=r"once at an optimizer\. Received: layer='0'"):
        OptimizerDOConv(model, optimizer)
    assert len(optimizer.param_groups[0]["params"]) == groups
    with pytest.raises(ValueError, match="4 left: the optimizer does not hold its weight"):
        OptimizerDOConv(network(), optimizer)
    state: dict[str, Any] = over.state_dict()
    state["0"]["W"] += 1
    state["5"]["W"] = np.asarray(state["5"]["W"])
    with pytest.raises(TypeError, match=r"`5\.W` must be a torch\.Tensor"):
        over.load_state_dict(state)
    assert_same(model, before, 0)
