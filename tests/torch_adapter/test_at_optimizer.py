"""OptimizerDOConv: a plain network whose weights follow those of the converted network."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_core import fold_kernel
from doconv_torch import OptimizerDOConv, convert, fold

torch_sgd = torch.optim.SGD
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch_sgd(p, 0.01, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 12, (1, 2), groups=2),
        nn.Conv2d(12, 4, 1),
        nn.ConvTranspose2d(4, 2, 2, stride=2),
    ).double()


def batch(seed: int) -> Tensor:
    return torch.randn(4, 3, 6, 7, generator=torch.Generator().manual_seed(seed)).double()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range, micro: int = 1) -> None:
    for step in steps:
        optimizer.zero_grad()
        for part in batch(step).chunk(micro):
            (model(part).square().mean() / micro).backward()
        optimizer.step()


def assert_same(first: nn.Module, second: nn.Module, tolerance: float = 1e-12) -> None:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    for (name, ours), (other, theirs) in pairs:
        assert name == other
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.integration("OptimizerDOConv", "train")
@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_trajectory_is_the_converted_network_s(build: Any, micro: int) -> None:
    plain, converted = network(), convert(network())
    optimizer = build(plain.parameters())
    OptimizerDOConv(plain, optimizer)
    train(plain, optimizer, range(10), micro)
    train(converted, build(converted.parameters()), range(10), micro)
    moved = max(p.abs().max() for n, p in converted.named_parameters() if n.endswith("D"))
    assert moved > 1e-3
    assert_same(plain, fold(converted), 1e-10)


def test_channels_last_and_many_rows_follow_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from doconv_torch.tensors import arithmetic

    monkeypatch.setattr(arithmetic, "CHUNK", 3 * 8 * 27)  # chunks of a row or three, and a rest
    for memory_format in (torch.contiguous_format, torch.channels_last):
        plain = network().to(memory_format=memory_format)
        converted = convert(plain)
        optimizer = torch_sgd(plain.parameters(), 0.05)
        OptimizerDOConv(plain, optimizer)
        train(plain, optimizer, range(5))
        train(converted, torch_sgd(converted.parameters(), 0.05), range(5))
        assert_same(plain, fold(converted), 1e-10)
        assert plain[0].weight.is_contiguous(memory_format=memory_format)


@pytest.mark.integration(
    "OptimizerDOConv", convert="none needed", fold="none needed", export="the plain network"
)
def test_the_network_stays_plain_and_its_weight_the_kernel() -> None:
    model = network()
    before, parameters = copy.deepcopy(model), list(model.parameters())
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    over = OptimizerDOConv(model, optimizer)
    assert_same(model, before, 0)
    train(model, optimizer, range(3))
    assert [type(m) for m in model] == [type(m) for m in before]
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    state = over.state_dict()
    assert sorted(state) == ["0", "2", "3", "5"]  # "4" is 1x1
    layer = convert(before)[0]
    W, D = (state["0"][name].numpy() for name in "WD")
    kernel = fold_kernel(layer.spec, W.reshape(layer.spec.W_shape), D)
    torch.testing.assert_close(model[0].weight.flatten(2), torch.from_numpy(kernel))


def test_saved_in_the_middle_and_resumed() -> None:
    def start() -> tuple[nn.Module, torch.optim.Optimizer, OptimizerDOConv]:
        model = network()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        return model, optimizer, OptimizerDOConv(model, optimizer)

    model, optimizer, over = start()
    train(model, optimizer, range(3))
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), over.state_dict()))
    train(model, optimizer, range(3, 6))

    again, its_optimizer, its_over = start()
    again.load_state_dict(saved[0])
    its_optimizer.load_state_dict(saved[1])
    its_over.load_state_dict(saved[2])
    train(again, its_optimizer, range(3, 6))
    assert_same(model, again, 0)


def test_where_frozen_and_shared_layers() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Conv2d(3, 3, 3, padding=1)
            self.again = self.shared
            self.tied = nn.Conv2d(3, 3, 3, padding=1)
            self.tied.weight = self.shared.weight
            self.frozen = nn.Conv2d(3, 3, 3, padding=1).requires_grad_(False)
            self.other = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            for layer in (self.shared, self.again, self.tied, self.frozen, self.other):
                x = torch.tanh(layer(x))
            return x

    torch.manual_seed(0)
    plain = Head().double()
    frozen = plain.frozen.weight.clone()

    def where(name: str, layer: nn.Module) -> bool:
        return name != "other"

    converted = convert(plain, where=where)
    optimizer = torch_sgd([p for p in plain.parameters() if p.requires_grad], 0.1)
    over = OptimizerDOConv(plain, optimizer, where=where)
    assert list(over.state_dict()) == ["shared"]
    train(plain, optimizer, range(4))
    train(
        converted, torch_sgd([p for p in converted.parameters() if p.requires_grad], 0.1), range(4)
    )
    assert_same(plain, fold(converted), 1e-10)
    assert torch.equal(plain.frozen.weight, frozen)


def test_a_step_without_gradients_changes_nothing() -> None:
    model = network()
    before = copy.deepcopy(model)
    optimizer = torch_sgd(model.parameters(), 0.1)
    OptimizerDOConv(model, optimizer)
    optimizer.step()
    assert_same(model, before, 0)


def test_removed_hooks_leave_a_plain_training() -> None:
    model, other = network(), network()
    optimizer = torch_sgd(model.parameters(), 0.1)
    over = OptimizerDOConv(model, optimizer)
    over.remove()
    train(model, optimizer, range(2))
    train(other, torch_sgd(other.parameters(), 0.1), range(2))
    assert_same(model, other, 0)


THEN: dict[str, Callable[[nn.Module, Any, OptimizerDOConv], Any]] = {
    "state_dict": lambda model, optimizer, over: over.state_dict(),
    "the optimizer's": lambda model, optimizer, over: optimizer.state_dict(),
    "the network's": lambda model, optimizer, over: model.state_dict(),
    "of what holds it": lambda model, optimizer, over: nn.ModuleList([model]).state_dict(),
    "evaluated": lambda model, optimizer, over: model(batch(0)),
    "copied": lambda model, optimizer, over: copy.deepcopy(model),
    "pickled": lambda model, optimizer, over: pickle.dumps(model),
    "remove": lambda model, optimizer, over: over.remove(),
    "another step": lambda model, optimizer, over: optimizer.step(),
}


@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_an_interrupted_step_leaves_no_W_in_the_network(then: Any) -> None:
    model = network().eval()
    before = copy.deepcopy(model)
    optimizer = torch_sgd(model.parameters(), 0.1)
    over = OptimizerDOConv(model, optimizer)
    train(model, optimizer, range(3))
    kernels = copy.deepcopy(model)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = optimizer.register_step_pre_hook(interrupt)  # after ours: the network holds W
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    handle.remove()
    assert not torch.equal(model[0].weight, kernels[0].weight)
    optimizer.zero_grad()
    found = then(model, optimizer, over)
    assert_same(model, kernels)
    if isinstance(found, bytes):
        found = pickle.loads(found)
    if isinstance(found, nn.Module):
        assert_same(found, kernels)
        assert not optimizer.step()
        assert_same(found, kernels)
    assert not torch.equal(model[0].weight, before[0].weight)


@pytest.mark.integration("OptimizerDOConv", "train")
def test_a_gradient_scaler_skips_and_unscales() -> None:
    plain = network().float()
    optimizer = torch_sgd(plain.parameters(), 0.05)
    OptimizerDOConv(plain, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    other = network().float()
    reference = torch_sgd(other.parameters(), 0.05)
    OptimizerDOConv(other, reference)
    for step in range(3):
        for model, its in ((plain, optimizer), (other, reference)):
            its.zero_grad()
            loss = model(batch(step).float()).square().mean()
            (scaler.scale(loss) if model is plain else loss).backward()
        scaler.step(optimizer)
        scaler.update()
        reference.step()
    assert_same(plain, other, 1e-5)


def test_errors() -> None:
    model = network()
    optimizer = torch_sgd(model.parameters(), 0.1)
    with pytest.raises(TypeError, match=r"`optimizer` must be a torch\.optim\.Optimizer"):
        OptimizerDOConv(model, list(model.parameters()))
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module"):
        OptimizerDOConv(optimizer, optimizer)
    with pytest.raises(ValueError, match="no convolution of the model can be over-parameterized"):
        OptimizerDOConv(nn.Linear(2, 2), optimizer)
    over = OptimizerDOConv(model, optimizer)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="the state must have these layers"):
        over.load_state_dict({"0": {"W": torch.zeros(1), "D": torch.zeros(1)}})
    assert_same(model, before, 0)
