"""convert: what changes in a model, and everything that does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from doconv_core import messages
from doconv_torch import DOConv2d, DOConvTranspose2d, convert, fold, summary
from tests.torch_adapter.helpers import (
    everything,
    images,
    network,
    outputs_after,
    train,
    trained_network,
)

CONVERTED = {"0": DOConv2d, "3": DOConv2d, "6": DOConv2d, "7": DOConvTranspose2d}


def types(model: nn.Module) -> dict[str, type]:
    return {name: type(module) for name, module in model.named_modules() if hasattr(module, "spec")}


@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul>K"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_converts_every_convolution_and_changes_no_output_and_no_randomness(
    inplace: bool, D_mul: int | None
) -> None:
    plain = network()
    before, random_state = plain(images()), torch.get_rng_state()
    converted = convert(plain, inplace=inplace, D_mul=D_mul)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert types(converted) == CONVERTED
    assert {layer.D_mul for layer in converted if isinstance(layer, DOConv2d)} == {D_mul or 9}
    assert torch.equal(converted(images()), before)  # batch norm in training mode, too
    assert converted.training


def test_a_copy_leaves_the_model_and_shares_nothing_with_it() -> None:
    plain = network()
    plain(images()).sum().backward()
    before = everything(plain)
    with torch.no_grad():
        for parameter in convert(plain).parameters():
            parameter.zero_()
    assert everything(plain) == before


def test_inplace_keeps_every_object() -> None:
    plain = network()
    held = list(plain.modules())  # as a list of layers that a user keeps
    weights = dict(plain.named_parameters())
    assert convert(plain, inplace=True) is plain
    assert all(a is b for a, b in zip(plain.modules(), held, strict=True))
    for name, parameter in weights.items():
        assert plain.get_parameter(name) is parameter


def test_converting_twice_and_folding_twice_change_nothing() -> None:
    model = trained_network()
    for again in (convert(model), convert(model, D_mul=30)):
        assert types(again) == CONVERTED
        for name, parameter in model.named_parameters():
            assert torch.equal(again.get_parameter(name), parameter)
    folded = fold(model)
    before = everything(folded)
    assert fold(folded, inplace=True) is folded
    assert everything(folded) == before


def test_a_second_conversion_takes_what_the_first_left() -> None:
    model = convert(network(), where=lambda name, _: name == "0")
    again = convert(train(model), D_mul=12)
    assert types(again) == CONVERTED
    assert (again[0].D_mul, again[3].D_mul) == (9, 12)
    assert torch.equal(again[0].D, model[0].D)


def test_a_folded_model_can_be_converted_again() -> None:
    before, folded, again = outputs_after(trained_network(), fold, convert)
    assert torch.equal(folded, again)
    torch.testing.assert_close(before, folded)


CHOICES = {
    "by-name": (lambda name, _: name in ("0", "6"), {"0", "6"}),
    "by-layer": (lambda _, layer: layer.groups > 1, {"3"}),
    "none": (lambda *_: False, set()),
}


@pytest.mark.parametrize(("where", "chosen"), CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.filterwarnings("ignore:convert\\(\\) found no convolution")
def test_where_chooses(where: Callable[[str, nn.Module], bool], chosen: set[str]) -> None:
    model = convert(network(), where=where)
    assert types(model).keys() == chosen
    reasons = {row.name: row.reason for row in summary(model)}
    assert {name for name, reason in reasons.items() if not reason} == chosen


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_where_sees_the_layers_of_the_model_itself(inplace: bool) -> None:
    model = network()
    head = model[6]
    converted = convert(model, where=lambda _, layer: layer is not head, inplace=inplace)
    assert types(converted).keys() == CONVERTED.keys() - {"6"}


def test_where_is_asked_only_about_layers_that_can_be_converted() -> None:
    asked = []
    convert(network(), where=lambda name, _: asked.append(name) or True)
    assert asked == list(CONVERTED)


CONTAINERS = {
    "list": lambda conv: nn.ModuleList([nn.ReLU(), conv]),
    "dict": lambda conv: nn.ModuleDict({"a": nn.ReLU(), "b": conv}),
    "nested": lambda conv: nn.Sequential(nn.Sequential(nn.ModuleList([conv]))),
    "root": lambda conv: conv,
}


@pytest.mark.parametrize("contain", CONTAINERS.values(), ids=CONTAINERS.keys())
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_containers(contain: Any, inplace: bool) -> None:
    conv = nn.Conv2d(2, 3, 3)
    model = contain(conv)
    converted = convert(model, inplace=inplace)
    found = [m for m in converted.modules() if isinstance(m, nn.Conv2d)]
    assert list(map(type, found)) == [DOConv2d]
    assert (found[0] is conv) == inplace
    assert [type(m) for m in fold(converted).modules() if isinstance(m, nn.Conv2d)] == [nn.Conv2d]


def test_flags_types_and_gradients_flags_are_kept() -> None:
    model = network().to(torch.bfloat16).eval()
    model[0].requires_grad_(False)
    model[6].train()
    converted = convert(model, D_mul=11)
    for name, module in model.named_modules():
        assert converted.get_submodule(name).training == module.training
    assert {p.dtype for p in converted.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in converted[0].parameters())  # D is frozen with it
    assert all(p.requires_grad for p in converted[6].parameters())
    folded = fold(converted)
    for name, parameter in model.named_parameters():
        assert folded.get_parameter(name).requires_grad == parameter.requires_grad


def test_hooks_survive_convert_and_fold() -> None:
    calls: list[str] = []
    conv = nn.Conv2d(3, 4, 3)
    conv.register_forward_hook(lambda *_: calls.append("forward"))
    conv.register_forward_pre_hook(lambda *_: calls.append("pre"))
    conv.register_full_backward_hook(lambda *_: calls.append("backward"))
    model = nn.Sequential(conv)
    for step in (convert, fold):
        model = step(model)
        calls.clear()
        model(images().requires_grad_()).sum().backward()
        assert sorted(calls) == ["backward", "forward", "pre"]


class TooLate(nn.Module):
    """Ends in a layer whose conversion fails for a reason of its own."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*network(), last)


FAILURES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], type[Exception], str]] = {
    "D_mul": (lambda: nn.Conv2d(2, 2, 5), {"D_mul": 20}, ValueError, "D_mul"),
    "lazy": (lambda: nn.LazyConv2d(2, 3), {}, ValueError, "its shape must be known"),
    "where": (lambda: nn.Conv2d(7, 2, 3), {"where": lambda _, m: m.in_channels != 7 or 1 / 0},
              ZeroDivisionError, "division by zero"),
    "optimizer": (nn.Identity, {"optimizer": "sgd"}, TypeError, "`optimizer` must be"),
    "subclasses": (nn.Identity, {"subclasses": "all"}, ValueError, "`subclasses` must be one of"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("last", "options", "kind", "text"), FAILURES.values(), ids=FAILURES.keys()
)
def test_an_error_leaves_the_model_whole(
    last: Any, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    model = TooLate(last())
    plain, kinds = model.layers[:-1], list(map(type, model.modules()))
    before = everything(plain)
    with pytest.raises(kind, match=text):
        convert(model, inplace=True, **options)
    assert list(map(type, model.modules())) == kinds
    assert everything(plain) == before


def test_nothing_to_convert_is_a_warning_and_the_model() -> None:
    for model in (nn.Linear(2, 2), nn.Conv2d(2, 2, 1)):
        with pytest.warns(UserWarning, match="found no convolution") as caught:
            assert convert(model, inplace=True) is model
        assert str(caught[0].message) == messages.model.NOTHING_CONVERTED
        assert caught[0].filename == __file__


def test_from_conv_is_convert_for_one_layer() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1).eval()
    x = torch.randn(1, 4, 5, 5)
    layer = DOConv2d.from_conv(conv, D_mul=11)
    assert type(layer) is DOConv2d
    assert (layer.D_mul, layer.training) == (11, False)
    assert torch.equal(layer(x), conv(x))
    assert layer.weight.data_ptr() != conv.weight.data_ptr()
    assert type(conv) is nn.Conv2d
    assert DOConv2d.from_conv(nn.Conv2d(4, 4, 1)).D is None  # the class asked for, all the same


def test_deepcopy_of_a_converted_model_is_its_own_model() -> None:
    model = trained_network()
    twin = copy.deepcopy(model)
    before = everything(model)
    assert torch.equal(twin.eval()(images()), copy.deepcopy(model).eval()(images()))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert everything(model) == before
