"""Whole checkpoints of the authors' PyTorch models; tests/star/test_load_official.py has layers.

In theirs D is random: while it is zero, their layers and ours coincide.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doconv_torch import DOConv2d, convert, fold, load_official
from tests.cli.torch_models import Official, official_model
from tests.torch_adapter.helpers import ConvSame


def whole(body: nn.Module) -> nn.Sequential:
    """With layers that are not the authors' after it, whose values are not those at birth."""
    torch.manual_seed(1)
    model = nn.Sequential(
        OrderedDict(body=body, norm=nn.BatchNorm2d(6), act=nn.ReLU(), head=nn.Conv2d(6, 2, 1))
    )
    nn.init.uniform_(model.norm.running_var, 1, 2)
    return model.double().eval()


def official() -> nn.Sequential:
    return whole(official_model())


def host() -> nn.Sequential:
    layers = OrderedDict(
        stem=nn.Conv2d(3, 8, 3),
        wide=nn.Conv2d(8, 6, (1, 4)),
        pointwise=nn.Conv2d(6, 4, 1),
        depthwise=nn.Conv2d(4, 4, 2, groups=4),
        grouped=nn.Conv2d(4, 6, 2, groups=2),
    )
    return whole(nn.Sequential(layers)).float()


def trainable() -> nn.Sequential:
    """The layers that can be trained on; `grouped` stays plain, and so takes its kernel."""
    model = convert(host(), where=lambda name, layer: name not in ("body.wide", "body.grouped"))
    model.body.wide = DOConv2d.from_conv(model.body.wide, D_mul=9)
    return model


def images() -> Tensor:
    return torch.randn(2, 3, 12, 12, dtype=torch.float64, generator=torch.manual_seed(2))


def assert_computes(model: nn.Module, expected: Tensor, **tolerance: Any) -> None:
    with torch.no_grad():
        torch.testing.assert_close(model.double()(images()), expected, **tolerance)


@pytest.mark.parametrize("make", [trainable, host])
@pytest.mark.parametrize("spelling", ["d_diag", "D_diag"])
def test_a_model_computes_what_the_official_one_does(make: Any, spelling: str) -> None:
    theirs, ours = official(), make()
    state = {key.replace("d_diag", spelling): t for key, t in theirs.state_dict().items()}
    assert load_official(ours, state) is None
    with torch.no_grad():
        expected = theirs(images())
    assert_computes(fold(ours), expected, rtol=1e-5, atol=1e-5)


def test_over_parameterized_layers_keep_W_and_D() -> None:
    theirs, ours = official().state_dict(), trainable().double()
    load_official(ours, theirs)
    for name in ("stem", "wide", "depthwise"):
        layer = ours.body.get_submodule(name)
        assert torch.equal(layer.D, theirs[f"body.{name}.D"])
        assert torch.equal(layer._whole_W(), theirs[f"body.{name}.W"])
    assert type(ours.body.grouped) is nn.Conv2d


def test_a_plain_layer_s_kernel_is_rounded_once_to_its_type() -> None:
    theirs, ours = official(), host().bfloat16()
    load_official(ours, theirs.state_dict())
    exact = host().double()
    load_official(exact, theirs.state_dict())
    assert torch.equal(ours.body.stem.weight, exact.body.stem.weight.bfloat16())


def test_a_parametrized_layer_takes_W_and_D() -> None:
    torch.manual_seed(0)
    theirs = Official(3, 4, (2, 2)).state_dict()
    ours = convert(nn.Sequential(ConvSame(3, 4, 2)), subclasses="parametrize")
    load_official(ours, {f"0.{key}": tensor for key, tensor in theirs.items()})
    plain = nn.Conv2d(3, 4, 2)
    load_official(plain, theirs)
    torch.testing.assert_close(ours[0].weight, plain.weight)
    assert torch.equal(ours[0].parametrizations.weight[0].D, theirs["D"])


def test_a_shared_layer_has_two_names() -> None:
    torch.manual_seed(0)
    conv, theirs = DOConv2d(3, 3, 3), Official(3, 3, (3, 3))
    load_official(nn.Sequential(conv, conv), nn.Sequential(theirs, theirs).state_dict())
    assert torch.equal(conv.D, theirs.D)


UNFIT: dict[str, tuple[dict[str, Tensor], list[str], type[Exception], str]] = {
    "a missing batch norm": ({}, ["norm.weight"], RuntimeError, "Missing key.*norm.weight"),
    "a further layer": ({"tail.weight": torch.ones(1)}, [], RuntimeError, "Unexpected.*tail"),
    "another head": ({"head.weight": torch.ones(3, 6, 1, 1)}, [], RuntimeError, "size mismatch"),
    "a plain layer": (
        {"body.stem.weight": torch.ones(8, 3, 3, 3)},
        ["body.stem.W", "body.stem.D", "body.stem.d_diag"],
        ValueError,
        r"missing=\['body.stem'\].*where=",
    ),
}


@pytest.mark.parametrize(("more", "less", "error", "message"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_refused_and_the_model_stays(
    more: dict[str, Tensor], less: list[str], error: type[Exception], message: str
) -> None:
    ours = trainable()
    before = {key: tensor.clone() for key, tensor in ours.state_dict().items()}
    state = {key: t for key, t in official().state_dict().items() if key not in less}
    with pytest.raises(error, match=f"(?s){message}"):
        load_official(ours, state | more)
    assert all(torch.equal(tensor, before[key]) for key, tensor in ours.state_dict().items())
