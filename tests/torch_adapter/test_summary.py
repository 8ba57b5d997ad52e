"""summary: a row per convolution, with costs that torch's own counter confirms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from doconv_core import messages
from doconv_torch import DOConv2d, convert, fold, summary
from tests.torch_adapter.helpers import counted, everything, images, network, trained_network


def test_rows_of_a_plain_model() -> None:
    rows = summary(network())
    assert [(row.name, row.kind, row.K, row.S, row.reason) for row in rows] == [
        ("0", "Conv2d", 9, None, messages.model.CONVERTIBLE),
        ("3", "Conv2d", 9, None, messages.model.CONVERTIBLE),
        ("4", "Conv2d", 1, None, messages.model.POINTWISE),
        ("6", "Conv2d", 9, None, messages.model.CONVERTIBLE),
        ("7", "ConvTranspose2d", 4, None, messages.model.CONVERTIBLE),
    ]
    assert {row.macs for row in rows} == {None}


@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_parameters_are_those_of_the_modules(D_mul: int | None) -> None:
    models = [network(), trained_network(D_mul=D_mul)]
    models.append(fold(models[1]))
    for row in summary(models[1]):
        layers = [model.get_submodule(row.name) for model in models]
        assert row.parameters == tuple(sum(p.numel() for p in x.parameters()) for x in layers)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_macs_are_those_of_torch_s_counter(D_mul: int | None, batch: int) -> None:
    plain, model = network(), trained_network(D_mul=D_mul)
    before = [counted(m, images(batch)) for m in (plain, model, fold(model))]
    for row in summary(model, images(batch)):
        assert row.macs == tuple(count[row.name] for count in before)


def test_macs_of_feature_composition_are_those_of_torch_s_counter() -> None:
    model = nn.Sequential(DOConv2d(3, 8, 3, stride=2, composition="feature"))
    (row,) = summary(model, images(2))
    assert row.macs[1] == counted(model, images(2))["0"]


def test_the_model_is_left_as_it_was() -> None:
    model = trained_network()
    model[6].eval()
    model(images()).sum().backward()
    before = everything(model)
    summary(model, images())
    assert everything(model) == before


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no forward today")


def test_neither_noise_nor_an_error_leaves_a_trace() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), Noisy())
    before = everything(model)
    summary(model, images())
    assert everything(model) == before
    model[1] = Failing()
    before = everything(model)
    with pytest.raises(RuntimeError, match="no forward today"):
        summary(model, images())
    assert everything(model) == before
    assert not model[0]._forward_hooks


class Twice(nn.Module):
    """One layer at two sizes, called by keyword, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.alias = self.conv
        self.idle = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conv(input=x).mean() + self.alias(y).mean()


def test_shared_layers_count_each_call_and_idle_ones_none() -> None:
    x, y = torch.ones(1, 3, 4, 4), torch.ones(3, 8, 8)  # the second is one image, unbatched
    shared, idle = summary(Twice(), (x, y))
    assert (shared.name, shared.macs[0]) == ("conv", 81 * (16 + 64))
    assert counted(Twice(), x, y)["Twice"] == 81 * (16 + 64)
    assert idle.macs is None


def test_a_lazy_layer_has_a_row_without_sizes() -> None:
    (row,) = summary(nn.Sequential(nn.LazyConv2d(4, 3)))
    assert (row.name, row.K, row.parameters) == ("0", None, None)


def test_it_prints_as_a_table_with_totals() -> None:
    rows = summary(convert(network()), images())
    *_, rule, total = lines = str(rows).splitlines()
    assert len(lines) == 2 + len(rows) + 2
    assert set(rule) == {"-"}
    assert total.split()[:4] == ["total", "4", "of", "5"]
    assert messages.model.POINTWISE in lines[4]
    assert rows.totals.convertible == 0


def test_layers_of_one_weight_count_their_D_once() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2))
    model[1].weight = model[0].weight
    for either in (model, convert(model)):
        assert [row.added for row in summary(either)] == [324, 0, 324]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_forecast_is_what_convert_adds(dtype: torch.dtype) -> None:
    model = network().to(dtype)
    before, forecast = summary(model), summary(model).totals
    after = summary(convert(model))
    D = [p for name, p in convert(model).named_parameters() if name.endswith(".D")]
    assert forecast.forecast == after.totals.added == sum(p.numel() for p in D)
    assert forecast.forecast_bytes == after.totals.added_bytes == sum(p.nbytes for p in D)
    assert forecast.added == after.totals.forecast == 0
    assert [row.added for row in before] == [row.added for row in after]
    assert f"convert() would add {forecast.forecast:,} parameters" in str(before)
