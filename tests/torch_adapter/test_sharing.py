"""Shared layers and tied weights stay shared, and nobody's weight is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from doconv_torch import convert, fold
from tests.torch_adapter.helpers import outputs_after, train


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = self.a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Tied(nn.Module):
    """Two layers with one weight; the second differs by more than its name where asked."""

    def __init__(self, *, groups: int = 1, reader: bool = False) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 9, 3, padding=1)
        self.b = nn.Conv2d(3 * groups, 9, 3, padding=2, groups=groups)
        self.b.weight = self.a.weight
        self.reader = nn.ParameterList([self.a.weight] if reader else [])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([self.a(x), self.b(x.repeat(1, self.b.groups, 1, 1))[..., 1:-1, 1:-1]], 1)
        return y * (1 + sum(p.mean() for p in self.reader))


SHARING: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "one-module": (Shared, {}),
    "one-module-chosen-by-its-second-name": (Shared, {"where": lambda name, _: name == "b"}),
    "tied": (Tied, {}),
    "tied-more-columns": (Tied, {"D_mul": 13}),
    "tied-one-excluded": (Tied, {"where": lambda name, _: name == "a"}),
    "tied-with-other-groups": (lambda: Tied(groups=3), {}),
    "tied-with-a-reader": (lambda: Tied(reader=True), {}),
}


@pytest.mark.parametrize(("build", "options"), SHARING.values(), ids=SHARING.keys())
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_sharing(build: Any, options: dict[str, Any], inplace: bool) -> None:
    torch.manual_seed(0)
    plain = build()
    before, converted, trained, folded = outputs_after(
        plain,
        lambda model: convert(model, inplace=inplace, **options),
        train,
        lambda model: fold(model, inplace=inplace),
    )
    assert torch.equal(before, converted)
    assert not torch.allclose(before, trained)
    torch.testing.assert_close(trained, folded)


def test_what_shared_weights_share_D_and_the_fold_shares_its_weight() -> None:
    converted = train(convert(Tied()))
    assert converted.a.weight is converted.b.weight
    assert converted.a.D is converted.b.D
    folded = fold(converted)
    assert folded.a.weight is folded.b.weight
    once = convert(Shared())
    assert once.a is once.b
    assert len(list(once.parameters())) == 3


def test_a_weight_with_other_users_is_not_overwritten_by_fold() -> None:
    model = train(convert(Tied(reader=True), inplace=True))
    weight, values = model.a.weight, model.a.weight.detach().clone()
    fold(model, inplace=True)
    assert model.reader[0] is weight
    assert torch.equal(weight, values)
    assert model.a.weight is model.b.weight is not weight
