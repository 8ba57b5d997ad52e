"""ResNets and ResNeXt as in GluonCV's model zoo, which the paper's table is of."""

from __future__ import annotations

from collections.abc import Callable

from doconv_core.costs.building import Builder


def resnet(
    blocks: tuple[int, ...],
    *,
    bottleneck: bool,
    groups: int = 1,
    width: int = 64,
    shortcuts: bool = True,
    stride_first: bool = False,
) -> Callable[[Builder], None]:
    """A ResNet by its stages.

    Args:
        blocks: of each stage.
        bottleneck: 1x1, 3x3, 1x1 instead of two 3x3.
        groups: of the 3x3 convolutions.
        width: channels of the first stage's 3x3 convolutions.
        shortcuts: whether there are any.
        stride_first: whether the first convolution of a bottleneck has the stride (v1), not the
            3x3 one (v1b, v2, torchvision).
    """

    def build(net: Builder) -> None:
        net.conv("conv1", 64, 7, 2)
        net.pool()
        for stage, count in enumerate(blocks):
            for block in range(count):
                name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
                start = (net.channels, net.size)
                out = 64 * 2**stage * (4 if bottleneck else 1)
                if bottleneck:
                    inner = width * 2**stage
                    first, second = (stride, 1) if stride_first else (1, stride)
                    net.conv(f"{name}.conv1", inner, 1, first)
                    net.conv(f"{name}.conv2", inner, 3, second, groups)
                    net.conv(f"{name}.conv3", out, 1)
                else:
                    net.conv(f"{name}.conv1", out, 3, stride)
                    net.conv(f"{name}.conv2", out, 3)
                if shortcuts and (stride > 1 or start[0] != out):
                    net.beside(*start)
                    net.conv(f"{name}.downsample", out, 1, stride)

    return build


_DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def resnets(ending: str = "", *, stride_first: bool = False) -> dict[str, Callable[..., None]]:
    """The five depths of a version, by name."""
    return {
        f"resnet{depth}{ending}": resnet(blocks, bottleneck=deep, stride_first=stride_first)
        for depth, (blocks, deep) in _DEPTHS.items()
    }
