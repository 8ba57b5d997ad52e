"""OptimizerDOConv under trainers: closures, checkpoints, wrappers, clipping."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_torch import CondConv2d, OptimizerDOConv, convert, fold
from doconv_torch import messages as torch_messages
from tests.torch_adapter.test_at_optimizer import assert_same, batch, network, torch_sgd, train

# --- closures -------------------------------------------------------------------------------


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimization in one step(closure), which moves first, then evaluates."""

    def __init__(self, params: Any, lr: float, rho: float) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        moved = []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    moved.append((p, p.grad * group["rho"], group["lr"]))
                    p.add_(moved[-1][1])
        with torch.enable_grad():
            loss = closure()
        for p, move, lr in moved:
            p.sub_(move).sub_(p.grad, alpha=lr)
        return loss


CLOSURES: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch_sgd(p, 0.05, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "several evaluations": lambda p: torch.optim.LBFGS(p, 0.5, max_iter=4),
    "line search": lambda p: torch.optim.LBFGS(p, max_iter=6, line_search_fn="strong_wolfe"),
    "moves first": lambda p: SAM(p, 0.2, 0.1),
}


def with_closures(model: nn.Module, optimizer: torch.optim.Optimizer, clear: str) -> list[float]:
    losses = []
    for step in range(5):

        def closure(step: int = step) -> Tensor:
            (model if clear == "model" else optimizer).zero_grad()
            loss = model(batch(step)).square().mean()
            loss.backward()
            return loss

        if isinstance(optimizer, SAM):
            closure()
        losses.append(optimizer.step(closure).item())
    return losses


@pytest.mark.integration("OptimizerDOConv", "train")
@pytest.mark.parametrize("clear", ["optimizer", "model"])
@pytest.mark.parametrize("build", CLOSURES.values(), ids=CLOSURES)
def test_a_closure_follows_the_converted_network(build: Any, clear: str) -> None:
    plain, converted = network(), convert(network())
    optimizer = build(plain.parameters())
    over = OptimizerDOConv(plain, optimizer)
    losses = with_closures(plain, optimizer, clear)
    expected = with_closures(converted, build(converted.parameters()), clear)
    assert losses == pytest.approx(expected, rel=1e-8)
    assert_same(plain, fold(converted), 1e-7)
    assert over.state_dict()["0"]["D"].abs().max() > 1e-4


def test_a_closure_by_keyword_and_one_that_fails() -> None:
    model = network()
    optimizer = torch_sgd(model.parameters(), 0.1)
    OptimizerDOConv(model, optimizer)
    train(model, optimizer, range(2))
    before = copy.deepcopy(model)

    def failing() -> Tensor:
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        optimizer.step(closure=failing)
    assert_same(model, before, 0)
    assert optimizer.step(closure=lambda: torch.tensor(3.0)) == 3


# --- D_mul beyond K -------------------------------------------------------------------------


@pytest.mark.parametrize("D_mul", ["K", 11, 20])
def test_further_columns_follow_the_converted_network(D_mul: Any) -> None:
    torch.manual_seed(1)
    plain, converted = network(), convert(network(), D_mul=D_mul)
    optimizer = torch_sgd(plain.parameters(), 0.05, momentum=0.9)
    over = OptimizerDOConv(plain, optimizer, D_mul=D_mul)
    columns = over.state_dict()["0"].get("W_extra")
    if columns is not None:  # what is drawn at random is drawn once
        for name, arrays in over.state_dict().items():
            with torch.no_grad():
                converted[int(name)].W_extra.copy_(arrays["W_extra"])
    train(plain, optimizer, range(6))
    train(converted, torch_sgd(converted.parameters(), 0.05, momentum=0.9), range(6))
    assert_same(plain, fold(converted), 1e-9)
    other = network()
    with pytest.raises(ValueError, match="`D_mul` must be at least"):
        OptimizerDOConv(other, torch_sgd(other.parameters(), 0.1), D_mul=3)


# --- checkpoints ----------------------------------------------------------------------------


def started() -> tuple[nn.Module, torch.optim.Optimizer, OptimizerDOConv]:
    model = network().float()
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    return model, optimizer, OptimizerDOConv(model, optimizer, D_mul=11)


def run(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        model(batch(step).float()).square().mean().backward()
        optimizer.step()


def saved_and_loaded(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.integration("OptimizerDOConv", "save", "resume")
@pytest.mark.parametrize("order", ["model first", "optimizer first"])
@pytest.mark.parametrize("rounded", [False, True], ids=["same-machine", "other-rounding"])
def test_the_optimizer_s_state_resumes_alone(order: str, rounded: bool) -> None:
    model, optimizer, over = started()
    run(model, optimizer, range(4))
    saved = saved_and_loaded({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    if rounded:
        saved["model"]["0.weight"] *= 1 + 1e-7
    again, its, its_over = started()
    run(again, its, range(7, 9))
    if order == "model first":
        again.load_state_dict(saved["model"])
    its.load_state_dict(saved["optimizer"])
    if order != "model first":
        again.load_state_dict(saved["model"])
    for name, arrays in over.state_dict().items():
        for array, values in arrays.items():
            assert torch.equal(its_over.state_dict()[name][array], values)
    for net, opt in ((model, optimizer), (again, its)):
        run(net, opt, range(4, 7))
    assert_same(model, again, 1e-6 if rounded else 0)


def test_a_state_of_the_optimizer_can_be_loaded_where_there_is_none_of_ours() -> None:
    model, optimizer, over = started()
    run(model, optimizer, range(2))
    over.remove()
    plain = network().float()
    its = torch.optim.AdamW(plain.parameters(), 0.02)
    its.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(plain, its, range(2))


def test_a_state_without_W_and_D_is_told() -> None:
    model, optimizer, _ = started()
    run(model, optimizer, range(2))
    state = optimizer.state_dict()
    del state["doconv"]
    _, its, _ = started()
    with pytest.warns(UserWarning, match="holds no W and D"):
        its.load_state_dict(state)


def test_a_state_of_other_layers_changes_nothing() -> None:
    model, optimizer, over = started()
    run(model, optimizer, range(2))
    before, state = copy.deepcopy(model), over.state_dict()
    foreign = copy.deepcopy(optimizer.state_dict())
    foreign["doconv"][0]["D"] = torch.zeros(1)
    with pytest.raises(ValueError, match="must hold W and D of the same layers"):
        optimizer.load_state_dict(foreign)
    assert_same(model, before, 0)
    assert torch.equal(over.state_dict()["0"]["D"], state["0"]["D"])


def test_two_at_one_optimizer_keep_apart() -> None:
    def build() -> tuple[list[nn.Module], torch.optim.Optimizer, list[OptimizerDOConv]]:
        models = [network().float() for _ in range(2)]
        optimizer = torch_sgd([p for m in models for p in m.parameters()], 0.1)
        return models, optimizer, [OptimizerDOConv(m, optimizer) for m in models]

    models, optimizer, overs = build()
    for step in range(3):
        optimizer.zero_grad()
        sum(m(batch(step + i).float()).square().mean() for i, m in enumerate(models)).backward()  # type: ignore[union-attr]
        optimizer.step()
    again, its, its_overs = build()
    its.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    for model, other, over, theirs in zip(models, again, overs, its_overs, strict=True):
        assert torch.equal(over.state_dict()["0"]["D"], theirs.state_dict()["0"]["D"])
        assert torch.equal(model[0].weight, other[0].weight)


# --- wrappers and refusals ------------------------------------------------------------------


class Wrapper(torch.optim.Optimizer):
    """As Accelerate's AcceleratedOptimizer: no constructor of torch's, so no hooks."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.optimizer.param_groups


class Averaging(torch.optim.SGD):
    """As schedulefree's optimizers."""

    def eval(self) -> None:
        pass


REFUSED: dict[str, tuple[Callable[[torch.optim.Optimizer], Any], str]] = {
    "wrapper": (Wrapper, "whose step() changes the parameters"),
    "averaging": (lambda o: Averaging(o.param_groups[0]["params"], 0.1), "between its steps"),
}


@pytest.mark.integration("OptimizerDOConv", convert="of a wrapping or averaging optimizer refused")
@pytest.mark.parametrize(("build", "said"), REFUSED.values(), ids=REFUSED)
def test_a_refused_optimizer_is_as_it_was(build: Any, said: str) -> None:
    model = network()
    inner = torch_sgd(model.parameters(), 0.1)
    optimizer = build(inner)
    before = [id(p) for p in optimizer.param_groups[0]["params"]]
    with pytest.raises(ValueError, match=re.escape(said)):
        OptimizerDOConv(model, optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == before


class NoHooks(torch.optim.SGD):
    def register_step_post_hook(self, hook: Any) -> Any:
        raise AttributeError("no hooks here")


def test_an_optimizer_that_takes_no_hooks_is_as_it_was() -> None:
    model = network()
    optimizer = NoHooks(model.parameters(), 0.1)
    before = [id(p) for p in model.parameters()]
    with pytest.raises(AttributeError):
        OptimizerDOConv(model, optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == before
    train(model, optimizer, range(1))


NOTHING: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "converted": (lambda: convert(network()), torch_messages.DONE),
    "experts": (lambda: nn.Sequential(CondConv2d(3, 4, 3)), torch_messages.EXPERTS),
}


@pytest.mark.parametrize(("build", "reason"), NOTHING.values(), ids=NOTHING)
def test_nothing_to_do_comes_with_the_reason(build: Any, reason: str) -> None:
    model = build()
    with pytest.raises(ValueError, match=re.escape(f"left: {reason}")):
        OptimizerDOConv(model, torch_sgd(model.parameters(), 0.1))


def test_repr() -> None:
    model = network()
    over = OptimizerDOConv(model, torch_sgd(model.parameters(), 0.1), where=["0", "2"])
    added = 3 * 81 + 8 * 81
    assert repr(over) == f"OptimizerDOConv(SGD, 2 layers, +{added} parameters: '0', '2')"


# --- gradients ------------------------------------------------------------------------------


def test_no_gradient_of_D_is_left_to_be_clipped() -> None:
    model = network()
    optimizer = torch_sgd(model.parameters(), 0.1)
    over = OptimizerDOConv(model, optimizer)
    for step in range(2):
        model.zero_grad()
        model(batch(step)).square().mean().backward()
        everything = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(everything, 1e9)
        assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9))
        optimizer.step()
    assert over.state_dict()["0"]["D"].any()
