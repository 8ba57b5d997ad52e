"""What a converted copy keeps, and the optimizer that was left with the original."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_torch import convert, fold
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import images, network, train


def step(model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    model(images()).square().mean().backward()
    for optimizer in optimizers:
        optimizer.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.01)


def said(run: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in found]


def twice(model: nn.Module, *optimizers: torch.optim.Optimizer) -> Callable[[], object]:
    return lambda: [step(model, *optimizers) for _ in range(2)]


def test_an_optimizer_of_the_copied_model_is_told_once() -> None:
    model = network()
    optimizer = sgd(model)
    model = convert(model)
    assert said(twice(model, optimizer)) == [torch_messages.copy_not_trained(4)]


def test_a_part_that_was_copied() -> None:
    model = nn.Sequential(network()[:8], network()[8:])
    optimizer = sgd(model)
    model[0] = convert(model[0])
    assert said(twice(model, optimizer)) == [torch_messages.copy_not_trained(4)]


def original_and_copy() -> tuple[nn.Module, nn.Module]:
    model = network()
    return model, convert(model)


def compared() -> None:
    """Both are trained, in turn and side by side; the original steps first."""
    plain, model = original_and_copy()
    optimizers = sgd(plain), sgd(model)
    for _ in range(2):
        for net in (plain, model):
            net.zero_grad()
            net(images()).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()


def teacher_and_student() -> None:
    plain, model = original_and_copy()
    plain.requires_grad_(False)
    optimizer = sgd(model)
    for _ in range(2):
        optimizer.zero_grad()
        (model(images()) - plain(images())).square().mean().backward()
        optimizer.step()


def only_the_original() -> None:
    plain, model = original_and_copy()
    twice(plain, sgd(plain))()
    model(images())


def one_optimizer() -> None:
    plain, model = original_and_copy()
    both = torch.optim.SGD([*plain.parameters(), *model.parameters()], 0.01)
    twice(model, both)()


def gone() -> None:
    plain, model = original_and_copy()
    optimizer = sgd(plain)
    step(plain, optimizer)
    del model
    gc.collect()
    step(plain, optimizer)


@pytest.mark.parametrize(
    "use",
    [compared, teacher_and_student, only_the_original, one_optimizer, gone],
    ids=lambda use: use.__name__,
)
def test_who_trains_the_original_on_purpose_is_told_nothing(use: Callable[[], None]) -> None:
    assert said(use) == []


def test_flags_of_a_traced_model_stay() -> None:
    """torch's copy of a GraphModule is in training mode, which its functions ask for."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(self.body(x), 0.5, self.training)

    model = torch.fx.symbolic_trace(Net().eval())
    model.eval()
    before = {name: m.training for name, m in model.named_modules()}
    for verb in (convert, fold):
        model = verb(model)
        assert {n: m.training for n, m in model.named_modules() if n in before} == before
        assert not model.training


# --- subclasses that construct themselves in another way ------------------------------------


class Conv3x3(nn.Conv2d):
    """As torchvision's video models have it: only the constructor is its own."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=False)
        self.tag = "video"

    @staticmethod
    def get_downsample_stride(stride: int) -> int:
        return stride


class Up(nn.ConvTranspose2d):
    """Nothing of its own at all."""


def own_constructors() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Conv3x3(3, 4), Up(4, 4, 2))


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "itself": lambda model: model,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "oldest protocol": lambda model: pickle.loads(pickle.dumps(model, 2)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_a_subclass_with_the_host_s_forward_is_converted(way: Any, inplace: bool) -> None:
    plain = own_constructors()
    before, keys, text = plain(images()), plain.state_dict().keys(), repr(plain)
    model = convert(plain, inplace=inplace)
    assert [type(m).__name__ for m in model] == ["DOConv3x3", "DOUp"]
    assert isinstance(model[0], Conv3x3)
    assert torch.equal(model(images()), before)
    model = way(train(model))
    trained = model(images())
    assert not torch.equal(trained, before)
    assert model[0].tag == "video"
    folded = fold(model)
    assert [type(m) for m in folded] == [Conv3x3, Up]
    assert (folded.state_dict().keys(), repr(folded)) == (keys, text)
    torch.testing.assert_close(folded(images()), trained)


def test_it_loads_plain_states_and_trains() -> None:
    plain, model = own_constructors(), train(convert(own_constructors()))
    nn.init.normal_(plain[0].weight)
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(images()), plain(images()))
    step(model, sgd(model))
    assert model[0].D.any()


class OwnWeight(nn.Conv2d):
    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self._parameters["weight"] / 2


class OwnConvolution(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Any) -> Tensor:
        return super()._conv_forward(input, weight / 2, bias)


@pytest.mark.parametrize("kind", [OwnWeight, OwnConvolution], ids=lambda kind: kind.__name__)
def test_a_subclass_that_computes_something_else_is_left(kind: type[nn.Conv2d]) -> None:
    def init(self: Any) -> None:
        nn.Conv2d.__init__(self, 3, 4, 3)

    conv = type(kind.__name__, (kind,), {"__init__": init})
    model = nn.ModuleList([nn.Conv2d(3, 4, 3)])
    with torch.no_grad():
        layer = nn.Conv2d(3, 4, 3)
        layer.__class__ = conv
    model.append(layer)
    model = convert(model)
    assert [type(m).__name__ for m in model] == ["DOConv2d", kind.__name__]
