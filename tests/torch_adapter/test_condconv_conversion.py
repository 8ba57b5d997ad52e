"""convert, fold, summary and state on models with CondConv layers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from doconv_core import CondConvSpec, messages
from doconv_core.checkpoint import load, save
from doconv_torch import (
    CondConv2d,
    DOConv2d,
    OptimizerDOConv,
    convert,
    fold,
    get_state,
    set_state,
    summary,
)
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import counted, everything, images, train


class Own(CondConv2d):
    """A subclass, whose forward may compute anything."""


def network(D_mul: int | str | None = None) -> nn.Sequential:
    """A plain convolution, CondConv layers of every grouping, and a 1x1 one."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        CondConv2d(8, 8, 3, padding=1, groups=8, num_experts=3, bias=False, D_mul=D_mul),
        nn.ReLU(),
        CondConv2d(8, 12, 1, num_experts=3),
        CondConv2d(12, 6, 3, stride=2, groups=2, D_mul=D_mul),
    )


def test_convert_gives_every_expert_a_D_and_changes_no_bit() -> None:
    model = network().eval()
    before = everything(model)
    converted = convert(model, D_mul=11)
    assert everything(model) == before
    assert torch.equal(converted(images()), model(images()))
    assert type(converted[0]) is DOConv2d
    assert converted[1].spec == CondConvSpec(8, 8, (3, 3), 8, 3, 11)
    assert converted[3].D is None
    assert converted[4].D.shape == (4, 12, 9, 11)
    assert converted[1].W_extra.any()
    assert everything(convert(converted, inplace=True)) == everything(converted)


def test_convert_in_place_keeps_weights_and_the_optimizer_trains_D() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    weight = model[4].weight
    convert(model, inplace=True, optimizer=optimizer, where=lambda name, _: name == "4")
    assert model[4].weight is weight
    assert model[1].D is None
    model(images()).square().sum().backward()
    optimizer.step()
    assert model[4].D.any()


def test_fold_gives_plain_condconv_and_twice_is_once() -> None:
    model = train(network("K")).eval()
    expected = model(images())
    folded = fold(model)
    assert [type(layer) for layer in folded] == [type(layer) for layer in network()]
    assert folded.state_dict().keys() == network().state_dict().keys()
    torch.testing.assert_close(folded(images()), expected)
    assert model[4].D is not None
    weight = model[4].weight
    fold(model, inplace=True)
    assert model[4].weight is weight
    assert model[4].spec == network()[4].spec
    assert everything(fold(model, inplace=True)) == everything(model)
    plain = network()[1]
    copied = plain.fold()
    assert copied is not plain
    assert torch.equal(copied.weight, plain.weight)


@pytest.mark.parametrize("array", ["weight", "D"])
def test_what_is_not_finite_leaves_the_model_as_it_was(array: str) -> None:
    model = train(network("K"))
    with torch.no_grad():
        getattr(model[4], array)[0, 1, 2] = torch.inf
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="cannot fold layer '4'"):
        fold(model, inplace=True)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert model[1].D is not None


def test_sharing_is_kept() -> None:
    layer = CondConv2d(4, 4, 3, padding=1)
    twin = CondConv2d(4, 4, 3, padding=1, routing=False)
    twin.weight, twin.bias = layer.weight, layer.bias
    model = convert(nn.ModuleDict({"a": layer, "again": layer, "twin": twin}))
    assert model["a"] is model["again"]
    assert model["twin"].D is model["a"].D
    folded = fold(train(model))
    assert folded["twin"].weight is folded["a"].weight


def hooked(layer: Any) -> Any:
    layer.forward = layer.forward
    return layer


LEFT = {
    "pointwise": (lambda: CondConv2d(4, 4, 1), messages.model.POINTWISE),
    "subclass": (lambda: Own(4, 4, 3), messages.model.OWN_FORWARD),
    "instance": (lambda: hooked(CondConv2d(4, 4, 3)), messages.model.INSTANCE_FORWARD),
    "parametrized": (
        lambda: nn.utils.parametrizations.weight_norm(CondConv2d(4, 4, 3)),
        torch_messages.PARAMETRIZED,
    ),
    "pruned": (
        lambda: prune.random_unstructured(CondConv2d(4, 4, 3), "weight", 0.5),
        messages.model.RECOMPUTED_WEIGHT,
    ),
}


@pytest.mark.parametrize(("build", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_cannot_be_converted_is_left_with_the_reason(build: Any, reason: str) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), build())
    converted = convert(model, inplace=True)  # torch cannot copy a pruned layer
    assert converted[1]._parameters.get("D") is None
    assert summary(converted)[1].reason == reason
    if reason != messages.model.POINTWISE:
        with pytest.raises(ValueError, match="cannot over-parameterize the layer"):
            convert(model[1])


def test_a_subclass_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match=messages.model.OWN_FORWARD):
        Own(4, 4, 3, D_mul="K").fold()


def test_do_conv_at_the_optimizer_leaves_condconv_alone() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    OptimizerDOConv(model, optimizer)
    expected = copy.deepcopy(model)(images())
    expected.sum().backward()
    model(images()).sum().backward()
    optimizer.step()
    assert model[1].D is None


# --- summary -----------------------------------------------------------------------------


def test_summary_counts_the_layers_as_torch_does() -> None:
    """Parameters are the modules'; MACs, those of mixing kernels, are torch's own count."""
    models = [network(), train(network("K"))]
    for model in models:
        for layer in model:
            if isinstance(layer, CondConv2d):
                layer.evaluation = "kernels"
    models.append(fold(models[1]))
    counts = [counted(model, images(3)) for model in models]
    rows = summary(models[1], images(3))
    assert [(row.name, row.kind, row.K, row.S, row.reason) for row in rows] == [
        ("0", "Conv2d", 9, None, messages.model.CONVERTIBLE),
        ("1", "DO-CondConv", 9, 9, ""),
        ("3", "CondConv", 1, None, messages.model.POINTWISE),
        ("4", "DO-CondConv", 9, 9, ""),
    ]
    for row in rows:
        layers = [model.get_submodule(row.name) for model in models]
        assert row.parameters == tuple(sum(p.numel() for p in x.parameters()) for x in layers)
        assert row.macs == tuple(count[row.name] for count in counts)
    assert [row.reason for row in summary(network())[1:2]] == [messages.model.CONVERTIBLE]


# --- state -------------------------------------------------------------------------------


def test_state_goes_through_a_file_to_another_model(tmp_path: Path) -> None:
    model = train(convert(network(), D_mul=11, where=lambda name, _: name != "4")).eval()
    state = get_state(model)
    assert {name: layer.spec.S for name, layer in state.items()} == {
        "0": 11,
        "1": 11,
        "3": 1,
        "4": 9,
    }
    assert state["4"].D is None
    save(tmp_path / "file", state)
    other = convert(network(), D_mul=11, where=lambda name, _: name != "4").eval()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    set_state(other, load(tmp_path / "file"))
    assert torch.equal(other(images()), model(images()))


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    model = network("K")
    state = get_state(model)
    fits, before = {**state}, everything(model)
    state["1"] = get_state(CondConv2d(8, 8, 3, groups=8, num_experts=3, bias=False, routing=False,
                                      D_mul="K"))[""]  # fmt: skip
    with pytest.raises(ValueError, match="state_routing=False"):
        set_state(model, state)
    fits["4"] = get_state(network()[4])[""]
    with pytest.raises(ValueError, match="the state of layer '4' must fit it"):
        set_state(model, fits)
    assert everything(model) == before


def test_values_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match=messages.model.NO_VALUES_YET):
        get_state(CondConv2d(4, 4, 3, device="meta"))
    assert get_state(CondConv2d(4, 4, 3, dtype=torch.bfloat16))[""].routing.dtype == np.float32


class Custom(nn.Module):
    """A routing of the user's own: one expert, always."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(4)[0].expand(len(x), 4)


def test_a_routing_of_the_user_s_own_is_not_part_of_the_state() -> None:
    layer = CondConv2d(3, 4, 3)
    layer.routing = Custom()
    assert get_state(layer)[""].routing is None
    expected = nn.functional.conv2d(images(), layer.weight[0], layer.bias[0])
    torch.testing.assert_close(layer(images()), expected)
