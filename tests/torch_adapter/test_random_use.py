"""Random sequences of what users do to a model; what must hold is checked after each step."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor, nn

from doconv_torch import CondConv2d, OptimizerDOConv, convert, fold, get_state, set_state, summary
from tests.torch_adapter.helpers import ConvSame


class Conv3x3(nn.Conv2d):
    """Its constructor only is its own."""

    def __init__(self) -> None:
        super().__init__(3, 3, 3, padding=1)


PARTS: dict[str, Any] = {
    "conv": lambda: nn.Conv2d(3, 3, 3, padding=1),
    "depthwise": lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(3, 3, 3, padding=1),
    "pointwise": lambda: nn.Conv2d(3, 3, 1),
    "experts": lambda: CondConv2d(3, 3, 3, padding=1, num_experts=2),
    "own constructor": Conv3x3,
    "own forward": lambda: ConvSame(3, 3, 2),
    "norm": lambda: nn.BatchNorm2d(3),
}
parts = st.sampled_from(sorted(PARTS))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = torch.tanh(part(x))
        return x


def images() -> Tensor:
    return torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))


class RandomUse(RuleBasedStateMachine):
    @initialize(first=st.lists(parts, min_size=1, max_size=3), seed=st.integers(0, 9))
    def start(self, first: list[str], seed: int) -> None:
        torch.manual_seed(seed)
        self.net, self.kinds, self.calls, self.hooks = Net(), [], [], 0
        for part in first:
            self.add(part)
        self.tied: set[int] = set()
        self.new_optimizer()

    # --- what is looked at -------------------------------------------------------------

    def output(self) -> Tensor:
        flags = [m.training for m in self.net.modules()]
        self.net.eval()
        with torch.no_grad():
            found = self.net(images().to(next(self.net.parameters()).dtype))
        for module, flag in zip(self.net.modules(), flags, strict=True):
            module.training = flag
        return found

    def plain_keys(self) -> list[str]:
        plain = Net()
        for kind in self.kinds:
            plain.parts.append(PARTS[kind]())
        return list(plain.state_dict())

    def new_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.05, momentum=0.9)

    def unchanged(self, before: Tensor, exact: bool = True) -> None:
        after = self.output()
        assert torch.equal(after, before) if exact else torch.allclose(after, before, atol=1e-5)

    def facts(self) -> list[Any]:
        flags = [(n, m.training) for n, m in self.net.named_modules()]
        return [*flags, *((n, p.requires_grad) for n, p in self.net.named_parameters())]

    @invariant()
    def every_parameter_is_in_the_optimizer_once(self) -> None:
        if hasattr(self, "optimizer"):
            held = [id(p) for group in self.optimizer.param_groups for p in group["params"]]
            assert len(held) == len(set(held))
            assert {id(p) for p in self.net.parameters()} <= set(held)

    @invariant()
    def no_parameter_is_lost_or_renamed(self) -> None:
        if hasattr(self, "optimizer"):
            assert set(self.plain_keys()) <= self.net.state_dict().keys()

    # --- what users do -----------------------------------------------------------------

    @rule(
        D_mul=st.sampled_from([None, "K", 9, 13]),
        odd=st.sampled_from([None, 0, 1]),
    )
    def convert_in_place(self, D_mul: Any, odd: int | None) -> None:
        before, facts = self.output(), dict(self.facts())

        def where(name: str, _: nn.Module) -> bool:
            return odd is None or int(name.split(".")[1]) % 2 == odd

        assert (
            convert(self.net, where=where, D_mul=D_mul, inplace=True, optimizer=self.optimizer)
            is self.net
        )
        self.unchanged(before)
        assert facts.items() <= dict(self.facts()).items()

    @rule()
    def convert_a_copy(self) -> None:
        before, facts, old = self.output(), dict(self.facts()), self.net
        self.net = convert(old)
        self.unchanged(before)
        assert facts.items() <= dict(self.facts()).items()
        assert not {id(p) for p in old.parameters()} & {id(p) for p in self.net.parameters()}
        self.new_optimizer()

    @rule(inplace=st.booleans())
    def fold(self, inplace: bool) -> None:
        before, flags = self.output(), [(n, m.training) for n, m in self.net.named_modules()]
        parameters = [id(p) for p in self.net.parameters()]
        self.net = fold(self.net, inplace=inplace)
        self.unchanged(before, exact=False)
        assert list(self.net.state_dict()) == self.plain_keys()
        assert [(n, m.training) for n, m in self.net.named_modules()] == flags
        if inplace:
            assert {id(p) for p in self.net.parameters()} <= set(parameters)
        else:
            self.new_optimizer()

    @rule()
    def step(self) -> None:
        self.optimizer.zero_grad()
        dtype = next(self.net.parameters()).dtype
        loss = (self.net(images().to(dtype)) - 0.5).square().mean()
        if loss.requires_grad:
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            self.optimizer.step()
        assert loss.isfinite()

    @rule()
    def resume(self) -> None:
        """Files of the state and the optimizer, into a model that is built anew."""
        before, file = self.output(), io.BytesIO()
        torch.save([self.net.state_dict(), self.optimizer.state_dict()], file)
        file.seek(0)
        model, optimizer = torch.load(file, weights_only=True)
        net = copy.deepcopy(self.net)  # the same structure, tied and frozen alike
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
        held = [p for group in self.optimizer.param_groups for p in group["params"]]
        same = [id(p) for p in held] == [id(p) for p in self.net.parameters()]
        self.net = net
        self.net.load_state_dict(model)
        self.unchanged(before)
        momentum = [self.optimizer.state[p].get("momentum_buffer") for p in held]
        self.new_optimizer()
        # No D is left from before a fold, nothing was added at the end.
        if same and len(optimizer["param_groups"]) == 1:
            self.optimizer.load_state_dict(optimizer)
            for parameter, buffer in zip(self.net.parameters(), momentum, strict=True):
                theirs = self.optimizer.state[parameter].get("momentum_buffer")
                assert (theirs is None) == (buffer is None)
                assert buffer is None or torch.equal(theirs, buffer)

    @rule(way=st.sampled_from([copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]))
    def copied(self, way: Any) -> None:
        before, facts = self.output(), self.facts()
        hooks, self.calls = self.calls, []
        self.net = way(self.net)
        self.calls = hooks
        self.unchanged(before)
        assert self.facts() == facts
        self.new_optimizer()

    @rule()
    def neutral_state(self) -> None:
        before, state = self.output(), get_state(self.net)
        assert len(state) == len({id(m) for m in self.net.modules() if hasattr(m, "D")})
        with torch.no_grad():
            for name in state:
                self.net.get_submodule(name).weight.zero_()
        set_state(self.net, state)
        self.unchanged(before)

    @rule()
    def cast_there_and_back(self) -> None:
        before = self.output()
        self.net.double()
        assert {p.dtype for p in self.net.parameters()} == {torch.float64}
        self.output()
        self.net.float()
        self.unchanged(before)

    @rule(at=st.integers(0, 5), on=st.booleans())
    def freeze(self, at: int, on: bool) -> None:
        self.net.parts[at % len(self.kinds)].requires_grad_(not on)

    @rule(on=st.booleans())
    def train(self, on: bool) -> None:
        self.net.train(on)

    @precondition(lambda self: len(getattr(self, "kinds", [])) < 6)
    @rule(part=parts)
    def add(self, part: str) -> None:
        self.net.parts.append(PARTS[part]())
        self.kinds.append(part)
        if hasattr(self, "optimizer"):
            self.optimizer.add_param_group({"params": list(self.net.parts[-1].parameters())})

    @precondition(lambda self: len(getattr(self, "kinds", [])) < 6)
    @rule(at=st.integers(0, 5))
    def share(self, at: int) -> None:
        at %= len(self.kinds)
        self.net.parts.append(self.net.parts[at])
        self.kinds.append(self.kinds[at])

    @rule(at=st.integers(0, 5))
    def hook(self, at: int) -> None:
        part = self.net.parts[at % len(self.kinds)]
        before, count = self.output(), len(part._forward_hooks)
        part.register_forward_hook(_nothing)
        convert(self.net, inplace=True, optimizer=self.optimizer)
        assert len(part._forward_hooks) == count + 1
        self.unchanged(before)

    @rule()
    def trace(self) -> None:
        flags = [m.training for m in self.net.modules()]
        self.net.eval()
        x = images()
        with torch.no_grad():
            traced = torch.jit.trace(self.net, x, check_trace=False)
            assert torch.allclose(traced(x), self.net(x), atol=1e-6)
        for module, flag in zip(self.net.modules(), flags, strict=True):
            module.training = flag

    @rule()
    def compile(self) -> None:
        before, flags = self.output(), [m.training for m in self.net.modules()]
        self.net.eval()
        with torch.no_grad():
            compiled = torch.compile(self.net, backend="eager")(images())
        for module, flag in zip(self.net.modules(), flags, strict=True):
            module.training = flag
        assert torch.allclose(compiled, before, atol=1e-6)
        torch._dynamo.reset()  # or eight nets in all would be compiled

    @rule()
    def script_what_is_folded(self) -> None:
        before, plain = self.output(), fold(self.net).eval()
        for part in plain.modules():
            part._forward_hooks.clear()  # which TorchScript would compile
        if not {"experts", "own forward"} & set(self.kinds):
            assert torch.allclose(torch.jit.script(plain)(images()), before, atol=1e-5)

    @rule(D_mul=st.sampled_from([None, 13]))
    def at_the_optimizer(self, D_mul: int | None) -> None:
        """The network stays plain, and goes where the converted one does."""
        self.net = fold(self.net)
        self.new_optimizer()
        before = self.output()
        converted = convert(self.net, D_mul=D_mul, subclasses="parametrize")
        theirs = torch.optim.SGD(converted.parameters(), 0.05, momentum=0.9)
        try:
            over = OptimizerDOConv(self.net, self.optimizer, D_mul=D_mul)
        except ValueError as nothing:
            assert "no convolution of the model can be" in str(nothing)  # noqa: PT017
            return
        self.unchanged(before)
        if D_mul is None and "experts" not in self.kinds:
            for _ in range(2):
                for net, optimizer in ((self.net, self.optimizer), (converted, theirs)):
                    optimizer.zero_grad()
                    loss = (net(images()) - 0.5).square().mean()
                    if loss.requires_grad:
                        loss.backward()
                        optimizer.step()
            self.unchanged(fold(converted).eval()(images()).detach(), exact=False)
        held = self.output()
        over.remove()
        self.unchanged(held)
        assert list(self.net.state_dict()) == self.plain_keys()

    @rule()
    def look(self) -> None:
        facts, before = self.facts(), self.output()
        rows = summary(self.net, images())
        assert len(rows) == len(
            {id(m) for m in self.net.parts if not isinstance(m, nn.BatchNorm2d)}
        )
        assert repr(self.net)
        assert self.facts() == facts
        self.unchanged(before)


def _nothing(*_: Any) -> None:
    """A hook that pickle finds."""


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    with torch.random.fork_rng([]):
        yield


RandomUse.TestCase.settings = settings(
    max_examples=28,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore:convert.. found no convolution")
@pytest.mark.filterwarnings("ignore:convert.. over-parameterized")
@pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated")
class TestRandomUse(RandomUse.TestCase):
    """The machine under pytest."""
