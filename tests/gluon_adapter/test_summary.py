"""summary: a row per convolution, what it costs, or why it is plain."""

from __future__ import annotations

import numpy as np
import pytest

from doconv_core import layer_cost
from doconv_gluon import DOConv2D, convert, summary
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import ConvSame, images, network, nn, shared_pair, values

POINTWISE = "one kernel element has nothing to over-parameterize"
IN_BLOCK = "it is part of a SymbolBlock, whose graph is fixed"


def test_rows_say_what_happened() -> None:
    rows = summary(convert(network(), where=lambda name, layer: name != "4", D_mul=12))
    assert [(row.name, row.kind, row.K, row.S, row.reason) for row in rows] == [
        ("0", "DOConv2D", 9, 12, ""),
        ("2", "DOConv2D", 9, 12, ""),
        ("3", "Conv2D", 1, None, "one kernel element has nothing to over-parameterize"),
        ("4", "Conv2D", 9, None, "not converted"),
        ("5", "DOConv2DTranspose", 4, 12, ""),
    ]


def test_parameters_are_what_the_layers_have() -> None:
    net = convert(network(), D_mul=12)
    for row in summary(net):
        block = net[int(row.name)]
        trained = sum(int(np.prod(p.shape)) for p in block._reg_params.values())
        plain = sum(int(np.prod(block._reg_params[n].shape)) for n in ("weight", "bias")
                    if n in block._reg_params)  # fmt: skip
        assert row.parameters == (plain, trained, plain)


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_macs_are_those_of_the_real_sizes(hybridized: bool) -> None:
    net, x = convert(network()), images(batch=3)
    if hybridized:
        net.hybridize()
        net(x)
    before = values(net)
    rows = {row.name: row for row in summary(net, x)}
    assert values(net) == before
    cost = layer_cost(net[4].spec, (3, 3), batch_size=3, bias=True)
    assert rows["4"].macs == (cost.plain.macs, cost.kernel.macs, cost.folded.macs)
    cost = layer_cost(net[5].spec, (6, 6), input_size=(3, 3), batch_size=3, bias=True)
    assert rows["5"].macs == (cost.plain.macs, cost.kernel.macs, cost.folded.macs)
    assert net._active == hybridized
    assert not any(block._forward_hooks for block in net)
    assert [row.macs for row in summary(net)] == [None] * 5


def test_a_layer_called_twice_counts_twice() -> None:
    conv, net = nn.Conv2D(3, 3, padding=1, in_channels=3), nn.HybridSequential()
    net.add(conv, conv)
    net.initialize()
    (once,), (twice,) = summary(conv, images()), summary(net, [images()])
    assert twice.macs == tuple(2 * macs for macs in once.macs)


def test_feature_composition_counts_its_own_way() -> None:
    layer = DOConv2D(8, 3, in_channels=3, composition="feature")
    layer.initialize()
    (row,) = summary(layer, images())
    assert row.macs[1] == layer_cost(layer.spec, (6, 6), batch_size=2).feature.macs


def test_a_network_waiting_for_its_first_input() -> None:
    net = convert(network(known=False))
    first = summary(net)[0]
    assert (first.name, first.K, first.parameters) == ("0", 9, None)
    assert summary(net, images())[0].K == 9


def test_reasons_are_those_of_convert() -> None:
    net = nn.HybridSequential()
    net.add(ConvSame(4, 3, in_channels=3), nn.Conv2D(4, 3, in_channels=4))
    assert [row.reason for row in summary(net)] == [
        "a subclass may compute something else than its base class",
        "not converted",
    ]
    (row, _) = summary(shared_pair())
    assert row.reason == "not converted"


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
def test_convolutions_in_a_symbol_block_are_reported_not_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As the backbone of GluonCV's SSD, or of a Faster R-CNN with a feature pyramid."""
    inner = nn.HybridSequential(prefix="backbone_")
    with inner.name_scope():
        inner.add(nn.Conv2D(4, (3, 2)), nn.Conv2D(4, 1), nn.Conv2DTranspose(3, 2))
    inner.initialize()
    data = mx.sym.var("data")
    backbone = mx.gluon.SymbolBlock(inner(data), data, params=inner.collect_params())
    net = nn.HybridSequential()
    net.add(backbone, nn.Conv2D(4, 3))
    with caplog.at_level("INFO", "doconv"):
        convert(net, inplace=True)
    assert [(row.name, row.kind, row.K, row.reason) for row in summary(net)] == [
        ("0.backbone_conv0_fwd", "DOConvolution", 6, ""),
        (
            "0.backbone_conv1_fwd",
            "Convolution",
            1,
            "one kernel element has nothing to over-parameterize",
        ),
        ("0.backbone_conv2_fwd", "Deconvolution", 4, IN_BLOCK),
        ("1", "DOConv2D", 9, ""),
    ]
    assert "2 of 4 convolutions over-parameterized; 1 left: one kernel" in caplog.text
    assert f"1 left: {IN_BLOCK}" in caplog.text


def test_the_forecast_is_what_conversion_adds() -> None:
    net = network()
    forecast = summary(net).totals
    plain = sum(int(np.prod(p.shape)) for p in net.collect_params().values())
    assert (forecast.convolutions, forecast.converted, forecast.convertible) == (5, 0, 4)
    convert(net, inplace=True)
    trained = sum(int(np.prod(p.shape)) for p in net.collect_params().values())
    totals = summary(net).totals
    assert forecast.forecast == totals.added == trained - plain
    assert forecast.forecast_bytes == 4 * forecast.forecast
    assert (totals.converted, totals.forecast) == (4, 0)


def test_the_totals_are_printed_and_so_is_the_forecast() -> None:
    first, last = str(summary(network())).splitlines()[-2:]
    assert first.startswith("total  0 of 5 converted")
    assert last.startswith("convert() would add ")
    assert "4 of 5 converted" in str(summary(convert(network()))).splitlines()[-1]


def test_bytes_are_those_of_the_layer_s_type() -> None:
    net = network()
    net.cast("float16")
    (row, *_) = summary(net)
    assert row.added_bytes == 2 * row.added == 2 * 3 * 81
