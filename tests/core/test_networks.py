"""The networks of the papers' tables, against what is published and what GluonCV builds."""

from __future__ import annotations

import pytest

from doconv_core import (
    NETWORKS,
    CondConvSpec,
    DOConvSpec,
    condconv_cost,
    layer_cost,
    network_layers,
)


def test_all_twenty_networks_of_the_table_are_there() -> None:
    depths = (18, 34, 50, 101, 152)
    table = {f"resnet{depth}_{version}" for depth in depths for version in ("v1", "v1b", "v2")}
    table |= {"resnext50_32x4d", "mobilenet_v1", "mobilenet_v2"}
    table |= {"mobilenet_v3_large", "mobilenet_v3_small"}
    assert len(table) == 20
    assert table < NETWORKS.keys()


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_versions_differ_in_where_the_stride_is(depth: int) -> None:
    layers = {v: list(network_layers(f"resnet{depth}_{v}")) for v in ("v1", "v1b", "v2")}
    assert layers["v1b"] == layers["v2"] == list(network_layers(f"resnet{depth}"))
    changed = [a.name for a, b in zip(layers["v1"], layers["v1b"], strict=True) if a != b]
    assert changed == [f"layer{stage}.0.conv1" for stage in (2, 3, 4)]


GLUONCV = {
    **{f"resnet{d}_{v}": f"resnet{d}_{v}" for d in (18, 50) for v in ("v1", "v1b", "v2")},
    "resnext50_32x4d": "resnext50_32x4d",
    "mobilenet1.0": "mobilenet_v1",
    "mobilenetv2_1.0": "mobilenet_v2",
    "mobilenetv3_large": "mobilenet_v3_large",
    "mobilenetv3_small": "mobilenet_v3_small",
}


@pytest.mark.parametrize(("theirs", "ours"), GLUONCV.items(), ids=GLUONCV.values())
def test_they_are_GluonCV_s(theirs: str, ours: str) -> None:
    zoo = pytest.importorskip("doconv_gluon.model_zoo", reason="GluonCV", exc_type=ImportError)
    from doconv_gluon import summary
    from doconv_gluon.mxnet import mx

    net = zoo.get_model(theirs)
    net.initialize()
    rows = summary(net, mx.nd.zeros((1, 3, 64, 64)))
    # A classifier that is a 1x1 convolution is none of ours.
    rows = [row for row in rows if not row.name.startswith("output.")]
    expected = sorted(row.macs[0] for row in rows)
    layers = network_layers(ours, 64)
    assert sorted(layer_cost(x.spec, x.output_size).plain.macs for x in layers) == expected


def test_condconv_efficientnet_has_the_published_size() -> None:
    """arXiv 1904.04971, table 2, 8 experts: 24.0 M parameters, 413 M multiply-accumulates."""
    parameters, macs = 0, 0
    for layer in network_layers("condconv_efficientnet_b0"):
        spec, excites = layer.spec, ".excite." in layer.name
        cost = layer_cost(spec, layer.output_size).plain
        if layer.conditional:
            sizes = (spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups)
            own = CondConvSpec(*sizes, num_experts=8)
            cost = condconv_cost(own, layer.output_size, routing=layer.routing).condconv
        # a bias, or a batch norm
        parameters += cost.parameters + (1 if excites else 2) * spec.out_channels
        macs += cost.macs
    parameters, macs = parameters + 1280 * 1000 + 1000, macs + 1280 * 1000
    assert round(parameters / 1e6, 1) == 24.0
    assert abs(macs / 413e6 - 1) < 0.02


def test_condconv_mobilenet_begins_at_the_sixth_block() -> None:
    layers = [x for x in network_layers("condconv_mobilenet_v1") if x.conditional]
    assert layers[0].name == "features.6.depthwise"
    assert len(layers) == 16
    assert [x.routing for x in layers] == [True, False] * 8  # one of a block


def test_a_cost_is_added_to_a_cost_alone() -> None:
    costs = layer_cost(DOConvSpec(3, 8, (3, 3)), (4, 4))
    for cost in (costs, costs.plain):
        with pytest.raises(TypeError, match="unsupported operand"):
            cost + 1  # type: ignore[operator]
