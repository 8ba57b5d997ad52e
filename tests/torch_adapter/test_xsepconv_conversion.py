"""convert_depthwise on whole models: what is replaced, what is left and why, and what stays."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_core import messages
from doconv_torch import XSepConv2d, convert, convert_depthwise, fold
from doconv_torch import messages as torch_messages
from doconv_torch.layers.do_conv import DOConvNd
from tests.torch_adapter.helpers import everything


def images(size: int = 9) -> Tensor:
    return torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(1))


def depthwise(size: int = 5, channels: int = 4, **given: Any) -> nn.Conv2d:
    same = {"padding": size // 2, "groups": channels}
    return nn.Conv2d(channels, channels, size, **{**same, **given})


def network() -> nn.Sequential:
    """Depthwise layers that can be replaced, and one of each that cannot."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        depthwise(stride=2),
        depthwise(3),
        nn.Sequential(depthwise(7, padding="same", bias=False), nn.BatchNorm2d(4)),
        depthwise(padding=0),
        depthwise(padding_mode="reflect"),
        depthwise(stride=(2, 1), dilation=(1, 2), padding=(2, 4)),
    )


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_large_depthwise_layers_are_replaced(inplace: bool) -> None:
    model = network()
    before = everything(model)
    changed = convert_depthwise(model, inplace=inplace, D_mul="K")
    assert (changed is model) == inplace
    found = {n: m for n, m in changed.named_modules() if isinstance(m, XSepConv2d)}
    assert list(found) == ["1", "3.0", "6"]
    assert [layer.corner for layer in found.values()] == [0, 1, 2]
    assert isinstance(found["1"].square, DOConvNd)
    assert found["3.0"].vertical.kernel_size == (7, 1)
    assert found["3.0"].vertical.bias is None
    assert found["6"].horizontal.dilation == (1, 2)
    assert found["6"].vertical.stride == (2, 1)
    if not inplace:
        assert everything(model).keys() == before.keys()
        for name in before.keys() - {"random state"}:
            assert everything(model)[name] == before[name]


def test_sizes_stay() -> None:
    model, x = network(), torch.randn(2, 3, 33, 26)
    assert convert_depthwise(model)(x).shape == model(x).shape


def test_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        convert_depthwise(network(), where=lambda name, _: name != "6")
    assert caplog.record_tuples == [
        (
            "doconv",
            logging.INFO,
            "convert_depthwise: 2 of 7 convolutions replaced; "
            f"1 left: {messages.neighbours.NOT_DEPTHWISE}; "
            f"1 left: {messages.neighbours.SMALL_OR_UNEVEN}; "
            f"2 left: {messages.neighbours.NOT_SAME_PADDING}; "
            f"1 left: {messages.model.NOT_SELECTED}",
        ),
        ("doconv", logging.WARNING, messages.neighbours.not_preserving(2)),
    ]


def tied() -> nn.Module:
    model = nn.Sequential(depthwise(), depthwise())
    model[1].weight = model[0].weight
    return model


class Same(nn.Conv2d):
    """A subclass, whose forward may be its own."""


LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "over-parameterized": (
        lambda: convert(nn.Sequential(depthwise())),
        messages.neighbours.FOLD_FIRST,
    ),
    "tied": (tied, messages.neighbours.TIED),
    "subclass": (lambda: Same(4, 4, 5, padding=2, groups=4), messages.model.OWN_FORWARD),
    "parametrized": (
        lambda: torch.nn.utils.parametrizations.weight_norm(depthwise()),
        torch_messages.PARAMETRIZED,
    ),
    "1x1": (lambda: nn.Conv2d(4, 4, 1), messages.neighbours.NOT_DEPTHWISE),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 4, 5, padding=2, groups=4),
        messages.neighbours.NOT_DEPTHWISE,
    ),
}


@pytest.mark.parametrize(("build", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_is_left(build: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model = build()
    with (
        caplog.at_level(logging.INFO, "doconv"),
        pytest.warns(UserWarning, match=re.escape(messages.neighbours.NOTHING_REPLACED)),
    ):
        convert_depthwise(model, inplace=True)
    assert not any(isinstance(module, XSepConv2d) for module in model.modules())
    assert f"left: {reason}" in caplog.text


def test_a_layer_used_twice_becomes_one() -> None:
    conv = depthwise()
    model = nn.ModuleDict({"a": conv, "b": nn.Sequential(conv)})
    changed = convert_depthwise(model, where=lambda name, _: name == "b.0")
    assert changed["a"] is changed["b"][0]
    assert isinstance(changed["a"], XSepConv2d)


def test_the_corners_go_on_and_twice_is_once() -> None:
    model = nn.Sequential(*(depthwise() for _ in range(6)))
    convert_depthwise(model, where=lambda name, _: int(name) % 2 == 0, inplace=True)
    convert_depthwise(model, inplace=True)
    assert [layer.corner for layer in model] == [0, 3, 1, 0, 2, 1]
    before = everything(model)
    assert everything(convert_depthwise(model, inplace=True)) == before


def test_in_place_the_module_itself_its_hooks_and_flags_stay() -> None:
    conv, calls = depthwise().eval(), []
    conv.register_forward_hook(lambda *_: calls.append(1))
    conv.group = "slow"
    conv.weight.requires_grad_(False)
    assert convert_depthwise(conv, inplace=True) is conv
    assert type(conv) is XSepConv2d
    assert conv.group == "slow"
    assert not conv.square.training
    assert all(p.requires_grad for p in conv.parameters())  # they are new
    conv(images())
    assert calls == [1]
    fresh, own = XSepConv2d(4, 5), {"group"}
    assert vars(conv).keys() - own == vars(fresh).keys()


def test_an_error_leaves_the_model_as_it_was() -> None:
    model = network()
    before = everything(model)
    with pytest.raises(ValueError, match=re.escape(messages.layer.D_mul_too_small(5, (1, 7), 7))):
        convert_depthwise(model, D_mul=5, inplace=True)
    after = everything(model)
    before.pop("random state")  # the first layer's parameters were drawn
    assert {name: after[name] for name in before} == before


def test_lazy_layers_and_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="its shape must be known"):
        convert_depthwise(nn.Sequential(nn.LazyConv2d(4, 5)))
    with pytest.raises(TypeError, match="`model` must be"):
        convert_depthwise("model")  # type: ignore[type-var]


def test_it_trains_and_folds() -> None:
    torch.manual_seed(0)
    model = convert_depthwise(network(), D_mul="K")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(4, 3, 33, 26)
    losses = []
    for _ in range(5):
        loss = (model(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval()
    torch.testing.assert_close(fold(model)(x), model(x))
