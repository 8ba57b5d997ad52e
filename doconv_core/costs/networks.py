"""Layer lists of the networks in the papers' tables, for cost tables without a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from doconv_core import messages
from doconv_core.costs.building import Builder, NetworkLayer
from doconv_core.costs.mobilenets import efficientnet_b0, mobilenet_v1, mobilenet_v2, mobilenet_v3
from doconv_core.costs.resnets import resnet, resnets

__all__ = ["NETWORKS", "NetworkLayer", "network_layers"]

NETWORKS: dict[str, Callable[[Builder], None]] = {
    "plain18": resnet((2, 2, 2, 2), bottleneck=False, shortcuts=False),
    **resnets(),
    **resnets("_v1", stride_first=True),
    **resnets("_v1b"),
    **resnets("_v2"),  # whose norms and shortcuts lie elsewhere, not its convolutions
    "resnext50_32x4d": resnet((3, 4, 6, 3), bottleneck=True, groups=32, width=128),
    "mobilenet_v1": mobilenet_v1(),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3(large=True),
    "mobilenet_v3_small": mobilenet_v3(large=False),
    "condconv_mobilenet_v1": mobilenet_v1(conditional_from=6),
    "condconv_efficientnet_b0": efficientnet_b0(conditional_stages=3),
}


def network_layers(name: str, image_size: int = 224) -> Iterator[NetworkLayer]:
    """The convolutions of a network, in order; its classifier is not among them.

    Args:
        name: one of :data:`NETWORKS`. "resnet50" without a version is v1b, as torchvision's: the
            stride is in the 3x3 convolution; "plain18" is ResNet-18 without shortcuts.
        image_size: height and width of the input, in pixels.

    Raises:
        ValueError: an unknown name.

    Source: the networks of arXiv 2006.12030, table 1, as GluonCV has them; those of
    arXiv 1904.04971, table 2 ("condconv_*").

    Example:
        >>> sum(layer.spec.has_D for layer in network_layers("resnet18"))
        17
    """
    if name not in NETWORKS:
        raise ValueError(messages.layer.bad_choice("name", name, tuple(NETWORKS)))
    net = Builder(image_size)
    NETWORKS[name](net)
    return iter(net.layers)
