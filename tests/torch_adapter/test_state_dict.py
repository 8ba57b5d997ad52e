"""Checkpoints: a plain one loads strictly into a converted model, and a folded one into a plain."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune

from doconv_torch import DOConv2d, DOConvTranspose2d, convert, fold
from tests.torch_adapter.helpers import images, network, train, trained_network


class Backbone(nn.Module):
    """Names as torchvision has them: layer1.0.conv1.weight."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3), "bn1": nn.BatchNorm2d(4)})
        self.layer1 = nn.Sequential(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        block = self.layer1[0]
        return block["bn1"](block["conv1"](x))


COLUMNS = pytest.mark.parametrize("D_mul", [None, 9, 20], ids=["D_mul=None", "D_mul=K", "D_mul>K"])


@pytest.mark.integration("state_dict, safetensors", resume="a plain one too")
@COLUMNS
@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
@pytest.mark.parametrize("build", [network, Backbone], ids=["network", "backbone"])
def test_a_plain_checkpoint_loads_strictly(build: Any, assign: bool, D_mul: int | None) -> None:
    plain, model = build().eval(), train(convert(build(), D_mul=D_mul)).eval()
    given = {name: value.double() for name, value in plain.state_dict().items()}
    keys, random_state = list(given), torch.get_rng_state()
    report = model.load_state_dict(given, assign=assign)
    assert report == ([], [])
    assert list(given) == keys
    assert torch.equal(torch.get_rng_state(), random_state)
    dtype = torch.float64 if assign else torch.float32
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {p.requires_grad for p in model.parameters()} == {True}
    x = images(dtype=dtype)
    assert torch.equal(model(x), (plain.double() if assign else plain)(x))


@COLUMNS
def test_a_model_on_meta_is_filled_by_a_plain_checkpoint(D_mul: int | None) -> None:
    plain = network().eval()
    with torch.device("meta"):
        model = convert(network(), D_mul=D_mul).eval()
    model.load_state_dict(plain.state_dict(), assign=True)
    assert torch.equal(model(images()), plain(images()))
    model(images()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_columns_without_an_identity_can_still_be_trained_after_loading() -> None:
    """With W_extra and D both zero there, neither would ever get a gradient."""
    model = train(DOConv2d(2, 2, 3, D_mul=20))
    model.load_state_dict(nn.Conv2d(2, 2, 3).state_dict())
    assert not model.D.any()
    assert not model.W_extra[..., :9].any()
    assert model.W_extra[..., 9:].all()


def test_every_process_loads_the_same() -> None:
    plain, loaded = nn.Conv2d(2, 2, 3).state_dict(), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = DOConv2d(2, 2, 3, D_mul=11)
        model.load_state_dict(plain)
        loaded.append(model.W_extra)
    assert torch.equal(*loaded)


@pytest.mark.integration("state_dict, safetensors", "save", "resume")
@COLUMNS
def test_a_converted_checkpoint_goes_round(D_mul: int | None, tmp_path: Path) -> None:
    model = trained_network(D_mul=D_mul).eval()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    twin = convert(network(5), D_mul=D_mul).eval()
    twin.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(twin(images()), model(images()))


def test_a_plain_checkpoint_into_a_model_that_is_converted_in_part() -> None:
    model = train(convert(network(3), where=lambda name, _: name in ("0", "7"))).eval()
    plain = network().eval()
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(images()), plain(images()))


def test_a_checkpoint_converted_in_part_into_a_model_that_is_converted_whole() -> None:
    part = train(convert(network(), where=lambda name, _: name in ("0", "7"))).eval()
    whole = convert(network(3)).eval()
    whole.load_state_dict(part.state_dict())
    assert torch.equal(whole(images()), part(images()))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unexpected": ({"6.wieght": torch.zeros(1)}, r'Unexpected key\(s\) in state_dict: "6.wieght"'),
    "missing-weight": ({"6.weight": None}, 'Missing key.*"6.weight"'),
    "missing-D": ({"6.W_extra": torch.zeros(6, 12, 11)}, 'Missing key.*"6.D"'),
    "missing-W_extra": ({"6.D": torch.zeros(12, 9, 20)}, 'Missing key.*"6.W_extra"'),
    "shape": ({"6.weight": torch.zeros(3, 3)}, "size mismatch for 6.weight"),
    "scalar": ({"6.weight": torch.zeros(())}, "size mismatch for 6.weight"),
    "no-tensor": ({"6.weight": [1.0]}, "expected torch.Tensor"),
    "other-D_mul": (
        {"6.D": torch.zeros(12, 9, 9), "6.W_extra": torch.zeros(6, 12, 11)},
        "size mismatch for 6.D",
    ),
}


@pytest.mark.parametrize(("change", "text"), FAULTS.values(), ids=FAULTS.keys())
def test_strict_loading_still_reports_what_is_wrong(change: dict[str, Any], text: str) -> None:
    state = {**network().state_dict(), **change}
    state = {name: value for name, value in state.items() if value is not None}
    model = convert(network(), D_mul=20)
    with pytest.raises(RuntimeError, match=text):
        model.load_state_dict(state)


def test_a_converted_checkpoint_is_not_taken_for_a_plain_one() -> None:
    state = trained_network().state_dict()
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"0\.D"'):
        network().load_state_dict(state)


@pytest.mark.integration("state_dict, safetensors", "save", "resume", "fold")
@pytest.mark.parametrize("verb", [copy.deepcopy, fold], ids=["converted", "folded"])
@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul>K"])
def test_safetensors(verb: Any, D_mul: int | None, tmp_path: Path) -> None:
    model = verb(trained_network(D_mul=D_mul)).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = verb(convert(network(4), D_mul=D_mul)).eval()
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(twin(images()), model(images()))


def test_a_state_records_which_layers_are_transposed(tmp_path: Path) -> None:
    """Their shapes alone do not tell where I = O, and `doconv fold` has the file alone."""
    model = nn.Sequential(DOConv2d(4, 4, 3), DOConvTranspose2d(4, 4, 3))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    recorded = torch.load(tmp_path / "model.pt", weights_only=True)._metadata
    assert [recorded[name]["transposed"] for name in ("0", "1")] == [False, True]
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=True)


@pytest.mark.parametrize("name", ["weight", "D", "W_extra"])
def test_a_plain_state_for_a_pruned_array_is_told_by_its_names(name: str) -> None:
    layer = prune.identity(train(DOConv2d(3, 4, 3, D_mul=11)), name)
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match=rf'Missing key\(s\) in state_dict: .*"{name}_orig"'):
        layer.load_state_dict(nn.Conv2d(3, 4, 3).state_dict())
