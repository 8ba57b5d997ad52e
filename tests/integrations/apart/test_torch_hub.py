"""transformers' from_pretrained and save_pretrained, Accelerate's empty weights, peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import accelerate
import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

from doconv_torch import DOConv2d, convert, fold
from tests.torch_adapter.helpers import images, network, train

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


class Config(transformers.PretrainedConfig):
    model_type = "small"


class Plain(transformers.PreTrainedModel):
    config_class = Config

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4))
        self.change()
        self.post_init()

    def change(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Converted(Plain):
    def change(self) -> None:
        convert(self, inplace=True)


@pytest.mark.integration(
    "from_pretrained, save_pretrained", "convert", "train", "save", "resume", "fold"
)
def test_plain_and_converted_models_go_to_and_fro(tmp_path: Path) -> None:
    plain = Plain(Config())
    plain.save_pretrained(tmp_path / "plain")
    model = Converted.from_pretrained(tmp_path / "plain")
    assert torch.equal(model(images()), plain(images()))
    assert not model.body[0].D.any()
    model(images()).sum().backward()
    assert model.body[0].D.grad.any()
    train(model).save_pretrained(tmp_path / "unfolded")
    again = Converted.from_pretrained(tmp_path / "unfolded")
    assert torch.equal(again(images()), model(images()))
    expected = model(images())
    fold(model, inplace=True).save_pretrained(tmp_path / "folded")
    torch.testing.assert_close(Plain.from_pretrained(tmp_path / "folded")(images()), expected)


@pytest.mark.integration("meta device", "convert")
def test_empty_weights_of_accelerate() -> None:
    with accelerate.init_empty_weights():
        model = convert(network())
    assert model[0].D.is_meta
    model.to_empty(device="cpu")
    assert not model[0].D.any()


@pytest.mark.integration("LoRA (peft)", train="refused: fold first", fold="fold first")
def test_an_adapter_of_peft_comes_after_fold() -> None:
    config = peft.LoraConfig(target_modules=["0"], r=2)
    head = nn.Flatten(), nn.Linear(64, 5)
    model = train(convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), *head)))
    with pytest.raises(ValueError, match="would merge wrong"):
        peft.get_peft_model(model, config)
    beside = peft.get_peft_model(model, peft.LoraConfig(target_modules=["3"], r=2))
    assert isinstance(beside.merge_and_unload()[0], DOConv2d)  # on another layer: as ever
    adapted = peft.get_peft_model(fold(model), config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    before = adapted(images())
    torch.testing.assert_close(adapted.merge_and_unload()(images()), before)
