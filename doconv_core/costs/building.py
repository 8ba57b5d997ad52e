"""Following channels and image size through a network, noting each convolution."""

from __future__ import annotations

from typing import NamedTuple

from doconv_core.kernel.spec import DOConvSpec


class NetworkLayer(NamedTuple):
    """One convolution of a network.

    Attributes:
        name: where it is.
        spec: its sizes.
        output_size: its output's height and width.
        conditional: whether it is a CondConv layer, of as many experts as one asks for.
        routing: whether it is the first of the layers that share a routing.
    """

    name: str
    spec: DOConvSpec
    output_size: tuple[int, ...]
    conditional: bool = False
    routing: bool = False


class Builder:
    """A network as it grows.

    Args:
        image: height and width of the input.
    """

    def __init__(self, image: int) -> None:
        self.layers: list[NetworkLayer] = []
        self.channels, self.size = 3, image
        self._conditional = self._routing = False

    def conv(self, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """Add a convolution behind what there is; padding keeps the size but for the stride."""
        self.size = -(-self.size // stride)
        spec = DOConvSpec(self.channels, channels, (kernel, kernel), groups)
        self.layers.append(
            NetworkLayer(name, spec, (self.size, self.size), self._conditional, self._routing)
        )
        self.channels, self._routing = channels, False

    def depthwise(self, name: str, kernel: int, stride: int = 1) -> None:
        """Add a convolution of each channel."""
        self.conv(name, self.channels, kernel, stride, self.channels)

    def excite(self, name: str, inner: int) -> None:
        """Add squeeze and excitation: two convolutions of the channels' means."""
        channels, size, conditional = self.channels, self.size, self._conditional
        self.size, self._conditional = 1, False
        self.conv(f"{name}.conv1", inner, 1)
        self.conv(f"{name}.conv2", channels, 1)
        self.size, self._conditional = size, conditional

    def pool(self) -> None:
        """Halve the image."""
        self.size = -(-self.size // 2)

    def beside(self, channels: int, size: int) -> None:
        """Go back to where a shortcut starts."""
        self.channels, self.size = channels, size

    def block(self, *, conditional: bool) -> None:
        """Begin a block, whose convolutions share a routing if they are CondConv."""
        self._conditional = self._routing = conditional
