"""An optimizer that was built before an in-place conversion."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from doconv_torch import OptimizerDOConv, convert, fold
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import ConvSame, images, network

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.01, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 0.01),
}
every_optimizer = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(images()).square().mean().backward()
    optimizer.step()


def ours(model: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if name.endswith((".D", "W_extra"))]


@pytest.mark.integration("torch.optim", "convert")
@every_optimizer
@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_D_joins_the_group_of_its_weight_and_the_state_of_the_rest_stays(
    build: Any, D_mul: int | None
) -> None:
    model = network()
    groups = [
        {"params": list(model[:6].parameters())},
        {"params": list(model[6:].parameters()), "lr": 0.5, "weight_decay": 0.25},
    ]
    optimizer = build(groups)
    step(model, optimizer)
    state = {p: dict(s) for p, s in optimizer.state.items()}
    convert(model, inplace=True, optimizer=optimizer, D_mul=D_mul)
    first, second = ([*map(id, group["params"])] for group in optimizer.param_groups)
    assert {id(p) for p in model[:6].parameters()} == set(first)
    assert {id(p) for p in model[6:].parameters()} == set(second)
    assert len(first) + len(second) == len(list(model.parameters()))
    options = optimizer.param_groups[1]
    assert (options["lr"], options["weight_decay"]) == (0.5, 0.25)
    for parameter, values in state.items():
        assert optimizer.state[parameter].keys() == values.keys()
        assert all(optimizer.state[parameter][name] is value for name, value in values.items())
    step(model, optimizer)  # no warning: warnings are errors here
    assert all(D.any() for D in ours(model))
    assert fold(model)(images()).isfinite().all()


def test_parameter_names_stay_complete() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.named_parameters(), 0.1)
    convert(model, inplace=True, optimizer=optimizer, D_mul=11)
    group = optimizer.param_groups[0]
    names = {id(p): name for name, p in model.named_parameters()}
    assert group["param_names"] == [names[id(p)] for p in group["params"]]
    torch.optim.SGD(model.named_parameters(), 0.1).load_state_dict(optimizer.state_dict())


def test_shared_and_parametrized_layers_join_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 2), ConvSame(3, 3, 2))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    convert(model, inplace=True, optimizer=optimizer, subclasses="parametrize")
    parameters = optimizer.param_groups[0]["params"]
    assert sorted(map(id, parameters)) == sorted(map(id, model.parameters()))


def test_D_of_a_weight_that_is_not_trained_is_not_trained() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.1)
    convert(model, inplace=True, optimizer=optimizer)
    assert id(model[0].D) not in map(id, optimizer.param_groups[0]["params"])
    step(model, optimizer)
    assert not model[0].D.any()


def test_a_copy_has_other_parameters() -> None:
    model = network()
    with pytest.raises(ValueError, match="pass inplace=True, or build a new optimizer"):
        convert(model, optimizer=torch.optim.SGD(model.parameters(), 0.1))


# --- the optimizer that nobody told ---------------------------------------------------------


def caught(model: nn.Module, *optimizers: torch.optim.Optimizer) -> list[str]:
    """What two steps of each optimizer warn of, with the file they blame."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for optimizer in optimizers:
            step(model, optimizer)
            step(model, optimizer)
    assert {w.filename for w in found} <= {__file__}
    return [str(w.message) for w in found]


@every_optimizer
@pytest.mark.parametrize("subclasses", ["skip", "parametrize"])
def test_it_is_told_once(build: Any, subclasses: str) -> None:
    model = network()
    optimizer = build(model.parameters())
    convert(model, inplace=True, subclasses=subclasses)
    (message,) = caught(model, optimizer)
    assert "updates the weights of 4 converted layer(s) but not their D" in message
    assert not any(D.any() for D in ours(model))


def test_each_optimizer_is_told_of_its_own_layers() -> None:
    model = network()
    head = torch.optim.SGD(model[6:].parameters(), 0.1)
    rest = torch.optim.SGD(model[:6].parameters(), 0.1)
    convert(model, inplace=True)
    messages = caught(model, head, rest)
    assert ["of 2 converted layer(s)" in message for message in messages] == [True, True]


def test_the_second_optimizer_is_told_when_only_the_first_was_passed() -> None:
    model = network()
    head = torch.optim.SGD(model[6:].parameters(), 0.1)
    rest = torch.optim.SGD(model[:6].parameters(), 0.1)
    convert(model, inplace=True, optimizer=head)
    assert caught(model, head) == []
    assert len(caught(model, rest)) == 1


@pytest.mark.parametrize("others", [0, 2], ids=["alone", "among-other-hooks"])
def test_several_conversions_before_one_step(others: int) -> None:
    """Hooks must not be removed while torch runs them."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    convert(model[:2], inplace=True)
    handles = [register_optimizer_step_pre_hook(lambda *_: None) for _ in range(others)]
    convert(model, inplace=True)
    (message,) = caught(model, optimizer)
    assert "of 4 converted layer(s)" in message
    for handle in handles:
        handle.remove()


SILENT: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "rebuilt": lambda model: torch.optim.SGD(model.parameters(), 0.1),
    "another-model's": lambda _: torch.optim.SGD(network(1).parameters(), 0.1),
    "of-the-rest": lambda model: torch.optim.SGD(model[1].parameters(), 0.1),
}


@pytest.mark.parametrize("build", SILENT.values(), ids=SILENT.keys())
def test_no_other_optimizer_is_told(build: Any) -> None:
    model = convert(network(), inplace=True)
    assert caught(model, build(model)) == []


def test_nobody_is_told_where_another_optimizer_has_D() -> None:
    model = convert(network(), inplace=True)
    others = [p for p in model.parameters() if p.ndim < 4]  # as beside Muon
    assert {id(D) for D in ours(model)} <= {id(p) for p in others}
    weights = torch.optim.SGD([p for p in model.parameters() if p.ndim == 4], 0.1)
    assert caught(model, weights, torch.optim.AdamW(others)) == []


VERBS: dict[str, Callable[[nn.Module, torch.optim.Optimizer], Any]] = {
    "convert": lambda model, lbfgs: convert(model, inplace=True, optimizer=lbfgs),
    "at the optimizer": OptimizerDOConv,
    "remove": lambda model, lbfgs: OptimizerDOConv(model, lbfgs).remove(),
}


@pytest.mark.parametrize("stepped", [False, True], ids=["fresh", "has stepped"])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_lbfgs_begins_anew_where_its_vector_changes_its_length(verb: Any, stepped: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, dtype=torch.float64))
    optimizer = torch.optim.LBFGS(model.parameters(), 0.1, max_iter=3)
    x = images(dtype=torch.float64)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    if stepped:
        optimizer.step(closure)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        kept = verb(model, optimizer)
    told = {torch_messages.HISTORY_LOST} if stepped else set()
    assert {str(each.message) for each in found} == told
    assert {each.filename for each in found} <= {__file__}
    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]
    del kept


def test_frozen_layers_need_no_D_in_the_optimizer() -> None:
    model = network().requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    convert(model, inplace=True)
    model[-1].requires_grad_(True)
    assert caught(model, optimizer) == []


def test_a_dead_model_is_forgotten() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    convert(model, inplace=True)
    del model, optimizer
    gc.collect()
    other = network()
    assert caught(other, torch.optim.SGD(other.parameters(), 0.1)) == []


def test_a_warning_that_is_an_error_stops_the_step_before_it_changes_anything() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    convert(model, inplace=True)
    weight = model[0].weight.detach().clone()
    with pytest.raises(UserWarning, match="built before convert"):
        step(model, optimizer)
    assert torch.equal(model[0].weight, weight)
