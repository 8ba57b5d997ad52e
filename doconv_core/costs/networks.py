"""Layer lists of the networks in the paper's tables, for cost tables without a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec


class NetworkLayer(NamedTuple):
    """One convolution of a network: its name, sizes and output size (height, width)."""

    name: str
    spec: DOConvSpec
    output_size: tuple[int, int]


class _Builder:
    """Follows channels and image size through a network, noting each convolution."""

    def __init__(self, image: int) -> None:
        self.layers: list[NetworkLayer] = []
        self.channels, self.size = 3, image

    def conv(self, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        self.size = -(-self.size // stride)
        spec = DOConvSpec(self.channels, channels, (kernel, kernel), groups)
        self.layers.append(NetworkLayer(name, spec, (self.size, self.size)))
        self.channels = channels

    def pool(self) -> None:
        self.size = -(-self.size // 2)

    def beside(self, channels: int, size: int) -> None:
        """Go back to where a shortcut starts."""
        self.channels, self.size = channels, size


def _resnet(
    blocks: tuple[int, ...], *, bottleneck: bool, groups: int = 1, width: int = 64,
    shortcuts: bool = True,
) -> Callable[[_Builder], None]:  # fmt: skip
    def build(net: _Builder) -> None:
        net.conv("conv1", 64, 7, 2)
        net.pool()
        for stage, count in enumerate(blocks):
            for block in range(count):
                name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
                start = (net.channels, net.size)
                out = 64 * 2**stage * (4 if bottleneck else 1)
                if bottleneck:
                    inner = width * 2**stage
                    net.conv(f"{name}.conv1", inner, 1)
                    net.conv(f"{name}.conv2", inner, 3, stride, groups)
                    net.conv(f"{name}.conv3", out, 1)
                else:
                    net.conv(f"{name}.conv1", out, 3, stride)
                    net.conv(f"{name}.conv2", out, 3)
                if shortcuts and (stride > 1 or start[0] != out):
                    net.beside(*start)
                    net.conv(f"{name}.downsample", out, 1, stride)

    return build


def _mobilenet_v1(net: _Builder) -> None:
    net.conv("features.0", 32, 3, 2)
    outs = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for index, out in enumerate(outs):
        stride = 2 if index in (1, 3, 5, 11) else 1
        net.conv(f"features.{index + 1}.depthwise", net.channels, 3, stride, net.channels)
        net.conv(f"features.{index + 1}.pointwise", out, 1)


def _mobilenet_v2(net: _Builder) -> None:
    net.conv("features.0", 32, 3, 2)
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    index = 1
    for expansion, out, count, stride in table:
        for block in range(count):
            inner = net.channels * expansion
            if expansion > 1:
                net.conv(f"features.{index}.expand", inner, 1)
            net.conv(f"features.{index}.depthwise", inner, 3, 1 if block else stride, inner)
            net.conv(f"features.{index}.project", out, 1)
            index += 1
    net.conv(f"features.{index}", 1280, 1)


NETWORKS: dict[str, Callable[[_Builder], None]] = {
    "plain18": _resnet((2, 2, 2, 2), bottleneck=False, shortcuts=False),
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet34": _resnet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "resnet101": _resnet((3, 4, 23, 3), bottleneck=True),
    "resnet152": _resnet((3, 8, 36, 3), bottleneck=True),
    "resnext50_32x4d": _resnet((3, 4, 6, 3), bottleneck=True, groups=32, width=128),
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
}


def network_layers(name: str, image_size: int = 224) -> Iterator[NetworkLayer]:
    """The convolutions of a network, in order.

    Args:
        name: one of :data:`NETWORKS`. "resnet*" have the stride in the 3x3 convolution
            (v1b, as torchvision's); "plain18" is ResNet-18 without shortcuts.
        image_size: height and width of the input, in pixels.

    Raises:
        ValueError: an unknown name.

    Source: the networks of arXiv 2006.12030, table 1.

    Example:
        >>> sum(layer.spec.has_D for layer in network_layers("resnet18"))
        17
    """
    if name not in NETWORKS:
        raise ValueError(messages.layer.bad_choice("name", name, tuple(NETWORKS)))
    net = _Builder(image_size)
    NETWORKS[name](net)
    return iter(net.layers)
