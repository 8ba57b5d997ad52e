"""Blocks that merge their own branches read ``weight``; adapters are merged into it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_torch import DOConv2d, convert, fold, summary
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import images, train


class RepBlock(nn.Module):
    """Two branches that become one; after RepVGG's block (arXiv 2101.03697) as timm has it."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Conv2d(3, 4, 3, padding=1)
        self.small = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "merged"):
            return self.merged(x)
        return self.large(x) + self.small(x)

    def switch_to_deploy(self) -> None:
        self.merged = nn.Conv2d(3, 4, 3, padding=1)
        with torch.no_grad():
            padded = nn.functional.pad(self.small.weight, (1, 1, 1, 1))
            self.merged.weight.copy_(self.large.weight + padded)
            self.merged.bias.copy_(self.large.bias + self.small.bias)
        del self.large, self.small


def reparameterize_model(model: nn.Module) -> nn.Module:
    """timm.utils.model.reparameterize_model (1.0), in place."""
    for name, child in model.named_children():
        if hasattr(child, "fuse"):
            setattr(model, name, child.fuse())
        elif hasattr(child, "reparameterize"):
            child.reparameterize()
        elif hasattr(child, "switch_to_deploy"):
            child.switch_to_deploy()
        reparameterize_model(child)
    return model


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(RepBlock(), nn.ReLU()))


def converted(model: nn.Module) -> nn.Module:
    with pytest.warns(UserWarning, match="merge their weights themselves"):
        return train(convert(model))


@pytest.mark.integration("branch merging (RepVGG, MobileOne, timm)", convert="told")
def test_convert_tells_of_blocks_that_merge() -> None:
    said = torch_messages.merged_elsewhere(1, "1.0", "switch_to_deploy")
    assert "1 converted layer(s)" in said
    assert "model = fold(model) first" in said
    with pytest.warns(UserWarning, match="merge") as found:
        convert(network())
    assert [str(w.message) for w in found] == [said]
    assert found[0].filename == __file__
    convert(network(), where=["0"])  # outside of them: nothing to say


@pytest.mark.parametrize("name", ["fuse", "reparameterize", "merge_kernel", "fuse_model"])
def test_by_whatever_name(name: str) -> None:
    block = type("Block", (nn.Sequential,), {name: lambda self: self})
    with pytest.warns(UserWarning, match=rf"by {name}\(\)"):
        convert(nn.Sequential(block(nn.Conv2d(3, 3, 3))))


@pytest.mark.integration("branch merging (RepVGG, MobileOne, timm)", fold="fold first, then merge")
def test_folded_first_a_merge_is_exact_and_no_layer_answers_to_its_names() -> None:
    model = converted(network())
    before = model(images())
    assert not [name for name in ("fuse", "reparameterize") if hasattr(model[0], name)]
    torch.testing.assert_close(reparameterize_model(fold(model))(images()), before)
    unfolded = reparameterize_model(model)
    assert isinstance(unfolded[0], DOConv2d)  # to be seen in its state's keys
    assert (unfolded(images()) - before).abs().max() > 0.01


# --- adapters -----------------------------------------------------------------------------


class LoRA(nn.Module):
    """A convolution with a low-rank one beside it, named as peft's ``lora.Conv2d`` has them."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.base_layer = conv
        self.lora_A = nn.ModuleDict({"default": type(conv)(3, 2, 3, bias=False)})
        self.lora_B = nn.ModuleDict({"default": type(conv)(2, 4, 1, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


class ConvLoRA(nn.Module):
    """After loralib's ``ConvLoRA``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.lora_A = nn.Parameter(torch.zeros(6, 9))
        self.lora_B = nn.Parameter(torch.zeros(12, 6))


@pytest.mark.integration("LoRA (peft)", convert="an adapter's own stay plain")
def test_convolutions_of_an_adapter_stay_plain_with_the_reason() -> None:
    model = nn.Sequential(LoRA(nn.Conv2d(3, 4, 3)), ConvLoRA(), nn.Conv2d(4, 4, 3))
    # Three of four for one reason, which is said too.
    with pytest.warns(UserWarning, match=r"over-parameterized 1 convolution\(s\) and left 3"):
        model = convert(model)
    reasons = {row.name: row.reason for row in summary(model)}
    assert reasons.pop("2") == ""
    assert reasons.pop("0.lora_B.default") == "one kernel element has nothing to over-parameterize"
    assert set(reasons.values()) == {torch_messages.ADAPTED}


def test_a_part_called_base_layer_is_not_an_adapter() -> None:
    """As timm's DLA calls its stem; an adapter's base layer has a weight."""
    model = nn.ModuleDict(
        {"base_layer": nn.Sequential(nn.Conv2d(3, 4, 3)), "l": nn.Conv2d(4, 4, 3)}
    )
    assert len(summary(convert(model)).converted) == 2


def get_base_layer(layer: Any) -> Any:
    """peft.tuners.tuners_utils.BaseTunerLayer.get_base_layer (0.21)."""
    while hasattr(layer, "base_layer"):
        layer = layer.base_layer
    return layer


@pytest.mark.integration("LoRA (peft)", train="refused: fold first", fold="fold first")
def test_an_adapter_is_refused_and_nobody_else_sees_the_attribute_that_it_asks_for() -> None:
    layer = DOConv2d(3, 4, 3)
    assert not hasattr(layer, "base_layer")
    assert getattr(layer, "base_layer", None) is None
    with pytest.raises(ValueError, match=r"\(LoRA\).* would merge wrong.*'DOConv2d'\. fold\(\)"):
        get_base_layer(layer)
    plain = layer.fold()
    assert get_base_layer(plain) is plain
