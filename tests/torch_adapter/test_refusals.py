"""What convert and fold do not do, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.ao.nn.qat
import torch.ao.nn.quantized
from torch import Tensor, nn
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from doconv_core import messages
from doconv_torch import DOConv1d, DOConv2d, DOConvTranspose2d, convert, fold, summary
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import ConvSame, everything, images, trained_network

# torch 2.13 deprecates some of what is refused here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, .* are deprecated"),
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated"),
    pytest.mark.filterwarnings("ignore:Complex modules are a new feature"),
    pytest.mark.filterwarnings("ignore:convert\\(\\) found no convolution"),
]

# --- a layer that convert leaves as it is -------------------------------------------------


def own_forward() -> nn.Module:
    conv = nn.Conv2d(3, 3, 3)
    conv.forward = lambda x: x  # type: ignore[method-assign]
    return conv


def with_buffer() -> nn.Module:
    conv = nn.Conv2d(3, 3, 3)
    conv.register_buffer("mask", torch.ones(3), persistent=False)
    return conv


def with_name(name: str) -> nn.Module:
    conv = nn.Conv2d(3, 3, 3)
    setattr(conv, name, 1)
    return conv


def integer() -> nn.Module:
    conv = nn.Conv2d(3, 3, 3)
    conv.weight = nn.Parameter(torch.ones(3, 3, 3, 3, dtype=torch.int8), requires_grad=False)
    return conv


def of_other_sizes(kind: type[nn.Module], *sizes: slice) -> nn.Module:
    conv = kind(4, 6, 3)
    conv.weight = nn.Parameter(conv.weight.detach()[sizes])  # type: ignore[operator]
    return conv


class WithD(nn.Conv2d):
    D = 2


class WithFold(nn.Conv2d):
    def fold(self) -> str:
        return "its own"


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Conv2d(3, 3, 3), "weight", amount=2)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "pointwise": (lambda: nn.Conv2d(3, 3, 1), messages.model.POINTWISE),
    "pointwise-transposed": (lambda: nn.ConvTranspose2d(3, 3, 1, 2), messages.model.POINTWISE),
    "subclass": (lambda: ConvSame(3, 3, 3), torch_messages.OWN_FORWARD),
    "forward-of-the-instance": (own_forward, messages.model.INSTANCE_FORWARD),
    "buffer": (with_buffer, messages.model.OTHER_ARRAYS),
    "attribute-D": (lambda: with_name("D"), messages.model.NAME_TAKEN),
    "attribute-spec": (lambda: with_name("spec"), messages.model.NAME_TAKEN),
    "class-attribute-D": (lambda: WithD(3, 3, 3), torch_messages.OWN_FORWARD),
    "method-fold": (lambda: WithFold(3, 3, 3), torch_messages.OWN_FORWARD),
    "gray-images": (
        lambda: of_other_sizes(nn.Conv2d, slice(None), slice(1)),
        torch_messages.OTHER_SIZES,
    ),
    "fewer-outputs": (lambda: of_other_sizes(nn.Conv2d, slice(4)), torch_messages.OTHER_SIZES),
    "transposed-fewer-inputs": (
        lambda: of_other_sizes(nn.ConvTranspose2d, slice(3)),
        torch_messages.OTHER_SIZES,
    ),
    "weight_norm": (lambda: weight_norm(nn.Conv2d(3, 3, 3)), messages.model.RECOMPUTED_WEIGHT),
    "spectral_norm": (lambda: spectral_norm(nn.Conv2d(3, 3, 3)), messages.model.RECOMPUTED_WEIGHT),
    "prune": (pruned, messages.model.RECOMPUTED_WEIGHT),
    "parametrized": (
        lambda: parametrizations.spectral_norm(nn.Conv2d(3, 3, 3)),
        torch_messages.PARAMETRIZED,
    ),
    "complex": (lambda: nn.Conv2d(3, 3, 3, dtype=torch.complex64), messages.model.NOT_FLOATING),
    "integer": (integer, messages.model.NOT_FLOATING),
    "quantized": (lambda: torch.ao.nn.quantized.Conv2d(3, 3, 3), messages.model.QUANTIZED),
    "quantization-aware": (
        lambda: torch.ao.nn.qat.Conv2d(3, 3, 3, qconfig=get_default_qat_qconfig()),
        messages.model.QUANTIZED,
    ),
}
every_refusal = pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED.keys())


PARAMETRIZABLE = (torch_messages.OWN_FORWARD, messages.model.INSTANCE_FORWARD)
MODES = [
    pytest.param(build, reason, subclasses, id=f"{name}-{subclasses}")
    for name, (build, reason) in REFUSED.items()
    for subclasses in ("skip", "parametrize")
    if subclasses == "skip" or reason not in PARAMETRIZABLE  # see test_subclasses.py
]


@pytest.mark.parametrize(("build", "reason", "subclasses"), MODES)
def test_left_as_it_is_with_the_reason(
    build: Callable[[], nn.Module], reason: str, subclasses: str
) -> None:
    model = nn.Sequential(build(), nn.Conv2d(3, 3, 3))
    kinds, values = list(map(type, model.modules())), dict(model[0].state_dict())
    convert(model, inplace=True, subclasses=subclasses)
    assert list(map(type, model.modules())) == [*kinds[:-1], DOConv2d]
    for name, value in model[0].state_dict().items():
        assert value is values[name] or torch.equal(torch.as_tensor(value), values[name])
    assert [row.reason for row in summary(model)] == [reason, ""]


@every_refusal
def test_alone_it_is_an_error(build: Callable[[], nn.Module], reason: str) -> None:
    conv = build()
    if reason == messages.model.POINTWISE:
        assert convert(conv, inplace=True) is conv
        return
    with pytest.raises(ValueError, match="cannot over-parameterize the layer") as error:
        convert(conv)
    assert str(error.value).endswith(f"Reason: {reason}.")
    if type(conv) is nn.Conv2d:
        with pytest.raises(ValueError, match="cannot over-parameterize the layer"):
            DOConv2d.from_conv(conv)


def test_looking_at_a_parametrized_layer_does_not_recompute_it() -> None:
    """Reading spectral_norm's weight while training is a step of its power iteration."""
    model = nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(3, 3, 3)), nn.Conv2d(3, 3, 3))
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    convert(model)
    fold(model)
    summary(model)
    for name, value in model[0].state_dict().items():
        assert torch.equal(value, before[name])


def test_parts_fused_for_quantization_are_plain_layers() -> None:
    fused = torch.ao.nn.intrinsic.ConvReLU2d(nn.Conv2d(3, 3, 3), nn.ReLU())
    assert [row.name for row in summary(fused)] == ["0"]
    assert type(convert(fused)[0]) is DOConv2d


# --- a layer of the wrong class -----------------------------------------------------------

WRONG = {
    "other-class": (DOConv1d, nn.Conv2d(2, 2, 3), "`conv` must be a Conv1d. .* conv='Conv2d'"),
    "transposed": (DOConv2d, nn.ConvTranspose2d(2, 2, 3), "conv='ConvTranspose2d'"),
    "subclass": (DOConv2d, ConvSame(2, 2, 3), "conv='ConvSame'"),
    "lazy": (DOConv2d, nn.LazyConv2d(2, 3), "conv='LazyConv2d'"),
    "converted": (DOConvTranspose2d, DOConvTranspose2d(2, 2, 3), "conv='DOConvTranspose2d'"),
    "no-layer": (DOConv2d, None, "conv='NoneType'"),
}  # fmt: skip


@pytest.mark.parametrize(("cls", "conv", "text"), WRONG.values(), ids=WRONG.keys())
def test_from_conv_takes_its_host_only(cls: Any, conv: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        cls.from_conv(conv)


# --- a layer that cannot be folded --------------------------------------------------------


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


class MyDOConv(DOConv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) ** 2


def replaced(model: nn.Sequential) -> None:
    model[6] = MyDOConv(12, 6, 3, 2)


UNFOLDABLE: dict[str, tuple[Callable[[nn.Sequential], object], str]] = {
    "weight_norm": (lambda model: weight_norm(model[6]), messages.model.RECOMPUTED_WEIGHT),
    "spectral_norm": (lambda model: spectral_norm(model[6]), messages.model.RECOMPUTED_WEIGHT),
    "pruned-weight": (
        lambda model: prune.l1_unstructured(model[6], "weight", amount=0.5),
        messages.model.RECOMPUTED_WEIGHT,
    ),
    "pruned-D": (
        lambda model: prune.l1_unstructured(model[6], "D", amount=0.5),
        messages.model.RECOMPUTED_WEIGHT,
    ),
    "parametrized": (
        lambda model: parametrize.register_parametrization(model[6], "weight", Halved()),
        torch_messages.PARAMETRIZED,
    ),
    "subclass": (replaced, messages.model.OWN_FORWARD),
}


@pytest.mark.parametrize(("change", "reason"), UNFOLDABLE.values(), ids=UNFOLDABLE.keys())
def test_it_works_unfolded_and_refuses_to_fold(change: Any, reason: str) -> None:
    model = trained_network().eval()
    before = model(images())
    change(model)
    after = model(images())
    assert not torch.equal(after, before)
    after.sum().backward()
    facts = everything(model)
    with pytest.raises(ValueError, match="cannot fold layer '6'") as error:
        fold(model, inplace=True)
    assert str(error.value).endswith(f"Reason: {reason}.")
    assert everything(model) == facts
