"""convert(..., subclasses="parametrize"): a class with its own forward is kept, and trains D."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from doconv_torch import convert, fold, get_state, set_state, summary
from tests.torch_adapter.helpers import ConvSame, everything, train


class Standardized(nn.Conv2d):
    """Weight standardization: the forward reads ``self.weight`` and computes with it."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(input, weight / weight.std(), self.bias)


class TransposedHalf(nn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return super().forward(input, output_size) / 2


def own_forward() -> nn.Module:
    conv = nn.Conv2d(4, 6, 3)
    conv.forward = lambda x: nn.Conv2d.forward(conv, x) + 1  # type: ignore[method-assign]
    return conv


SUBCLASSES: dict[str, Callable[[], nn.Module]] = {
    "padding": lambda: ConvSame(4, 6, 2),
    "standardized": lambda: Standardized(4, 6, 3, groups=2, bias=False),
    "transposed": lambda: TransposedHalf(4, 6, 3, groups=2),
}
every_subclass = pytest.mark.parametrize("build", SUBCLASSES.values(), ids=SUBCLASSES.keys())


def model_with(build: Callable[[], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 4, 3), build())


@every_subclass
@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_convert_train_fold(
    build: Callable[[], nn.Module], D_mul: int | None, inplace: bool
) -> None:
    plain, x = model_with(build), torch.randn(2, 4, 7, 7)
    before, kind, keys = plain(x), type(plain[1]), list(plain.state_dict())
    weight = plain[1].weight
    model = convert(plain, subclasses="parametrize", D_mul=D_mul, inplace=inplace)
    assert torch.equal(model(x), before)
    assert isinstance(model[1], kind)
    assert [row.reason for row in summary(model)] == ["", ""]

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert model[1].parametrizations.weight[0].D.any()

    trained = model(x)
    folded = fold(model, inplace=inplace)
    assert type(folded[1]) is kind
    assert list(folded.state_dict()) == keys
    torch.testing.assert_close(folded(x), trained)
    if inplace:
        assert folded[1].weight is weight


@every_subclass
def test_twice_and_alone(build: Callable[[], nn.Module]) -> None:
    conv, x = build(), torch.randn(2, 4, 7, 7)
    once = train(convert(conv, subclasses="parametrize"))
    assert torch.equal(convert(once, subclasses="parametrize")(x), once(x))
    folded = fold(once)
    torch.testing.assert_close(folded(x), once(x))
    assert torch.equal(fold(folded)(x), folded(x))


def test_a_forward_of_the_instance() -> None:
    conv = own_forward()
    before = conv(torch.ones(1, 4, 5, 5))
    convert(conv, subclasses="parametrize", inplace=True)
    assert torch.equal(conv(torch.ones(1, 4, 5, 5)), before)
    train(conv)
    trained = conv(torch.ones(1, 4, 5, 5))
    assert not torch.equal(trained, before)
    fold(conv, inplace=True)
    assert type(conv) is nn.Conv2d
    torch.testing.assert_close(conv(torch.ones(1, 4, 5, 5)), trained)


def test_bfloat16_autocast_composes_in_the_parameters_precision() -> None:
    conv = train(convert(ConvSame(16, 16, 2), subclasses="parametrize"))
    with torch.autocast("cpu", torch.bfloat16):
        assert conv.weight.dtype is torch.float32
        assert torch.equal(conv(torch.ones(1, 16, 5, 5)), fold(conv)(torch.ones(1, 16, 5, 5)))


def test_neutral_state_and_state_dict_go_round() -> None:
    model = train(convert(model_with(SUBCLASSES["transposed"]), subclasses="parametrize"))
    twin = convert(model_with(SUBCLASSES["transposed"]), subclasses="parametrize")
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin[1].weight, model[1].weight)
    other = convert(model_with(SUBCLASSES["transposed"]), subclasses="parametrize")
    set_state(other, get_state(model))
    assert torch.equal(other[1].weight, model[1].weight)


def test_until_fold_the_state_keys_are_parametrize_s() -> None:
    plain = model_with(SUBCLASSES["padding"])
    model = convert(plain, subclasses="parametrize")
    with pytest.raises(RuntimeError, match=r"Missing key.*1\.parametrizations\.weight\.original"):
        model.load_state_dict(plain.state_dict())
    fold(model).load_state_dict(plain.state_dict())


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def test_a_further_parametrization_refuses_to_fold() -> None:
    model = train(convert(model_with(SUBCLASSES["padding"]), subclasses="parametrize"))
    parametrize.register_parametrization(model[1], "weight", Halved())
    before = everything(model)
    with pytest.raises(ValueError, match=r"cannot fold layer '1'.*its weight is parametrized"):
        fold(model, inplace=True)
    assert everything(model) == before


def test_tied_to_a_plain_class() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 2, padding=1), ConvSame(3, 3, 2))
    model[1].weight = model[0].weight
    x = torch.randn(1, 3, 5, 5)
    before = model(x)
    converted = convert(model, subclasses="parametrize")
    assert torch.equal(converted(x), before)
    assert converted[0].D is converted[1].parametrizations.weight[0].D
    trained = train(converted)(x)
    folded = fold(converted)
    assert folded[0].weight is folded[1].weight
    torch.testing.assert_close(folded(x), trained)
