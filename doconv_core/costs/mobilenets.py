"""MobileNets and EfficientNet-B0, as in GluonCV's model zoo and in CondConv's paper."""

from __future__ import annotations

from collections.abc import Callable

from doconv_core.costs.building import Builder


def mobilenet_v1(conditional_from: int = 14) -> Callable[[Builder], None]:
    """MobileNetV1; from a block on, counted from 1, CondConv (arXiv 1904.04971: the sixth)."""

    def build(net: Builder) -> None:
        net.conv("features.0", 32, 3, 2)
        outs = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
        for index, out in enumerate(outs):
            net.block(conditional=index + 1 >= conditional_from)
            net.depthwise(f"features.{index + 1}.depthwise", 3, 2 if index in (1, 3, 5, 11) else 1)
            net.conv(f"features.{index + 1}.pointwise", out, 1)

    return build


def mobilenet_v2(net: Builder) -> None:
    net.conv("features.0", 32, 3, 2)
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    index = 1
    for expansion, out, count, stride in table:
        for block in range(count):
            if expansion > 1:
                net.conv(f"features.{index}.expand", net.channels * expansion, 1)
            net.depthwise(f"features.{index}.depthwise", 3, 1 if block else stride)
            net.conv(f"features.{index}.project", out, 1)
            index += 1
    net.conv(f"features.{index}", 1280, 1)


# (kernel size, channels inside, channels out, squeeze and excitation, stride)
_LARGE = (
    (3, 16, 16, False, 1), (3, 64, 24, False, 2), (3, 72, 24, False, 1), (5, 72, 40, True, 2),
    (5, 120, 40, True, 1), (5, 120, 40, True, 1), (3, 240, 80, False, 2), (3, 200, 80, False, 1),
    (3, 184, 80, False, 1), (3, 184, 80, False, 1), (3, 480, 112, True, 1),
    (3, 672, 112, True, 1), (5, 672, 160, True, 2), (5, 960, 160, True, 1),
    (5, 960, 160, True, 1),
)  # fmt: skip
_SMALL = (
    (3, 16, 16, True, 2), (3, 72, 24, False, 2), (3, 88, 24, False, 1), (5, 96, 40, True, 2),
    (5, 240, 40, True, 1), (5, 240, 40, True, 1), (5, 120, 48, True, 1), (5, 144, 48, True, 1),
    (5, 288, 96, True, 2), (5, 576, 96, True, 1), (5, 576, 96, True, 1),
)  # fmt: skip


def mobilenet_v3(*, large: bool) -> Callable[[Builder], None]:
    """MobileNetV3, whose last 1x1 convolution is behind the pooling."""

    def build(net: Builder) -> None:
        net.conv("features.0", 16, 3, 2)
        rows = _LARGE if large else _SMALL
        for index, (kernel, inner, out, excited, stride) in enumerate(rows):
            name = f"features.{index + 1}"
            if inner != net.channels:
                net.conv(f"{name}.expand", inner, 1)
            net.depthwise(f"{name}.depthwise", kernel, stride)
            if excited:
                net.excite(f"{name}.excite", _divisible(inner / 4))
            net.conv(f"{name}.project", out, 1)
        net.conv(f"features.{len(rows) + 1}", 960 if large else 576, 1)
        net.size = 1
        net.conv(f"features.{len(rows) + 2}", 1280, 1)

    return build


def efficientnet_b0(conditional_stages: int = 0) -> Callable[[Builder], None]:
    """EfficientNet-B0; its last stages' blocks CondConv (arXiv 1904.04971: three of them)."""
    # (expansion, output channels, blocks, stride, kernel size)
    stages = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
              (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip

    def build(net: Builder) -> None:
        net.conv("stem", 32, 3, 2)
        index = 0
        for stage, (expansion, out, count, stride, kernel) in enumerate(stages):
            for block in range(count):
                net.block(conditional=stage >= len(stages) - conditional_stages)
                name, inputs = f"blocks.{index}", net.channels
                if expansion > 1:
                    net.conv(f"{name}.expand", inputs * expansion, 1)
                net.depthwise(f"{name}.depthwise", kernel, 1 if block else stride)
                net.excite(f"{name}.excite", inputs // 4)
                net.conv(f"{name}.project", out, 1)
                index += 1
        net.block(conditional=False)
        net.conv("head", 1280, 1)

    return build


def _divisible(channels: float) -> int:
    """To the nearest multiple of 8 that is not below nine tenths."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
