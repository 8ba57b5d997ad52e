"""What convert leaves as it is, and the errors it raises."""

from __future__ import annotations

from typing import Any

import pytest

from doconv_gluon import CondConv2D, DOConv2D, DOConv2DTranspose, convert, fold
from tests.gluon_adapter.helpers import (
    ConvSame,
    layers_of,
    network,
    nn,
    values,
)


def replaced_forward() -> Any:
    conv = nn.Conv2D(4, 3, in_channels=3)
    conv.hybrid_forward = lambda F, x, weight, bias: x
    return conv


def with_more_parameters() -> Any:
    conv = nn.Conv2D(4, 3, in_channels=3)
    conv.scale = conv.params.get("scale", shape=(1,))
    return conv


def with_a_name_of_ours() -> Any:
    conv = nn.Conv2D(4, 3, in_channels=3)
    conv.D_mul = 3
    return conv


def of_integers() -> Any:
    conv = nn.Conv2D(4, 3, in_channels=3)
    conv.cast("int8")
    return conv


def another_operator() -> Any:
    conv = nn.Conv2D(4, 3, in_channels=3)
    conv._op_name = "Convolution_v1"
    return conv


REFUSED = {
    "subclass": (lambda: ConvSame(4, 3, in_channels=3), "a subclass may compute something else"),
    "forward": (replaced_forward, "its forward is replaced on the instance"),
    "parameters": (with_more_parameters, "it has parameters, buffers or submodules besides"),
    "name": (with_a_name_of_ours, "it has an attribute of its own named D"),
    "integers": (of_integers, "its weight is not of a real floating-point type"),
    "operator": (another_operator, "a subclass may compute something else"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_kept_is_refused(make: Any, reason: str) -> None:
    conv = make()
    with pytest.raises(ValueError, match=f"cannot over-parameterize the layer.*{reason}"):
        convert(conv)
    net = nn.HybridSequential()
    net.add(conv, nn.Conv2D(4, 3, in_channels=4))
    converted = convert(net, inplace=True)
    assert list(layers_of(converted)) == ["1"]
    assert net[0] is conv


@pytest.mark.parametrize("name", ["strides", "dilation", "groups"])
@pytest.mark.parametrize("value", [0, -1, (1, 0)], ids=str)
@pytest.mark.parametrize("layer", [DOConv2D, DOConv2DTranspose, CondConv2D])
def test_sizes_are_checked_at_construction(layer: type, value: Any, name: str) -> None:
    """MXNet complains of a stride of 0 at the first call."""
    if name == "groups" and not isinstance(value, int):
        pytest.skip("one number for all axes")
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received"):
        layer(4, 3, in_channels=4, **{name: value})


@pytest.mark.parametrize("host", [nn.Conv2D, nn.Conv2DTranspose])
def test_from_conv_takes_exactly_its_host(host: type) -> None:
    ours = DOConv2D if host is nn.Conv2D else DOConv2DTranspose
    conv = host(4, 3, in_channels=3)
    assert type(ours.from_conv(conv, D_mul=11)) is ours
    assert ours.from_conv(conv, D_mul=11).D_mul == 11
    with pytest.raises(TypeError, match=f"`conv` must be a {host.__name__}"):
        ours.from_conv(nn.Conv3D(4, 3, in_channels=3))


def test_an_error_leaves_the_network_as_it_was() -> None:
    net = network()
    before = values(net)
    with pytest.raises(ValueError, match="D_mul=8, kernel_size=\\(3, 3\\)"):
        convert(net, inplace=True, D_mul=8)  # enough for the 2x2 layer only
    assert values(net) == before


@pytest.mark.parametrize("model", [None, [nn.Conv2D(4, 3)], "net"], ids=["None", "list", "str"])
def test_only_blocks_are_converted_and_folded(model: Any) -> None:
    for verb in (convert, fold):
        with pytest.raises(TypeError, match=r"`model` must be a gluon.Block"):
            verb(model)


def test_nothing_to_convert_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="convert\\(\\) found no convolution"):
        convert(nn.Conv2D(4, 1, in_channels=3))
