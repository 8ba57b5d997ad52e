"""MobileNetV3-Small with XSepConv for its 5x5 depthwise convolutions, trained and folded.

    python examples/torch/mobilenetv3_small_xsepconv.py [--steps 40]

As in arXiv 2002.12046: the network's eight 5x5 depthwise layers become XSepConv, whose corners go
around from one to the next. First the costs of the real network are printed: as it is, with
XSepConv, with each of XSepConv's three kernels over-parameterized, and folded. Then a narrow one
is trained on scikit-learn's digits, and folded.

Two of the eight have stride 2, where a 5x5 XSepConv costs more than the kernel it replaces: its 2x2
kernel sees every pixel. All eight take 52.87 M multiply-accumulates, against 54.90 M before;
``where=lambda name, layer: layer.stride == (1, 1)`` leaves those two alone, for 52.67 M.
"""

from __future__ import annotations

import argparse
import logging

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from doconv_torch import XSepConv2d, convert_depthwise, fold, summary

# (kernel size, expanded channels, output channels, squeeze and excite, hard swish, stride)
BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is not less than nine tenths of a number."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class SqueezeExcite(nn.Module):
    """Scales channels by a small network of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = multiple_of_8(channels / 4)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu())
        return x * nn.functional.hardsigmoid(scale)


class Block(nn.Module):
    """Expand, depthwise, squeeze and excite, project."""

    def __init__(
        self, inputs: int, kernel_size: int, inner: int, outputs: int, excite: bool, hard: bool,
        stride: int,
    ) -> None:  # fmt: skip
        super().__init__()
        activation = nn.Hardswish if hard else nn.ReLU
        conv = (inner, inner, kernel_size, stride, kernel_size // 2, 1, inner)
        expand = (nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), activation())
        self.layers = nn.Sequential(
            *(expand if inner != inputs else ()),
            nn.Conv2d(*conv, bias=False),
            nn.BatchNorm2d(inner),
            activation(),
            *((SqueezeExcite(inner),) if excite else ()),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


def mobilenetv3_small(
    classes: int = 1000, width: float = 1.0, stem_stride: int = 2
) -> nn.Sequential:
    """MobileNetV3-Small, or a narrower one.

    Args:
        classes: of the classifier.
        width: a factor of all channels.
        stem_stride: 2 for photographs; 1 keeps more of a small image.
    """
    channels = multiple_of_8(16 * width)
    stem = nn.Conv2d(3, channels, 3, stem_stride, 1, bias=False)
    blocks = []
    for kernel_size, inner, outputs, *rest in BLOCKS:
        inner, outputs = multiple_of_8(inner * width), multiple_of_8(outputs * width)
        blocks.append(Block(channels, kernel_size, inner, outputs, *rest))
        channels = outputs
    last, hidden = multiple_of_8(576 * width), multiple_of_8(1024 * width)
    return nn.Sequential(
        nn.Sequential(stem, nn.BatchNorm2d(stem.out_channels), nn.Hardswish()),
        *blocks,
        nn.Sequential(
            nn.Conv2d(channels, last, 1, bias=False), nn.BatchNorm2d(last), nn.Hardswish()
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last, hidden),
        nn.Hardswish(),
        nn.Linear(hidden, classes),
    )


def cost(model: nn.Module, x: Tensor) -> str:
    """Parameters, and the convolutions' multiply-accumulates for one image, in millions."""
    parameters = sum(p.numel() for p in model.parameters())
    macs = sum(row.macs[1] for row in summary(model, x) if row.macs)
    return f"{parameters / 1e6:9.3f} {macs / 1e6:8.2f}"


def print_costs(width: float, image: int) -> None:
    """A table: the plain network, with XSepConv, over-parameterized, and folded."""
    plain, x = mobilenetv3_small(width=width), torch.zeros(1, 3, image, image)
    training = convert_depthwise(plain, D_mul="K")
    print(f"{'millions of':24}  weights     MACs")
    print(f"{'MobileNetV3-Small':24}{cost(plain, x)}")
    print(f"{'XSepConv':24}{cost(convert_depthwise(plain), x)}")
    print(f"{'DO-XSepConv, training':24}{cost(training, x)}")
    print(f"{'DO-XSepConv, folded':24}{cost(fold(training), x)}")


def digits() -> tuple[Tensor, Tensor]:
    """Real images of digits, (N, 3, 32, 32), and their classes."""
    images, classes = load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16
    x = nn.functional.interpolate(x, scale_factor=4, mode="bilinear")
    return x.expand(-1, 3, -1, -1), torch.from_numpy(classes)


def train(model: nn.Module, steps: int) -> None:
    """SGD on batches of 64 digits; prints the loss now and then."""
    x, classes = digits()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for step in range(steps):
        batch = torch.randint(len(x), (64,))
        loss = nn.functional.cross_entropy(model(x[batch]), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step:3d}: loss {loss.item():.3f}")


def main(*, steps: int = 40, width: float = 0.5, image: int = 224) -> float:
    """Print the costs, train a network ``width`` times as wide, and fold it.

    Returns:
        By how much folding changes the network's output, relative to the largest of them.
    """
    print_costs(1.0, image)
    torch.manual_seed(0)
    # NOT output-preserving: the new layers are random, so this comes before training.
    model = convert_depthwise(mobilenetv3_small(10, width, stem_stride=1), D_mul="K")
    train(model, steps)
    model.eval()
    deployed = fold(model)
    x = digits()[0][:100]
    with torch.no_grad():
        before, after = model(x), deployed(x)
    change = ((after - before).abs().max() / before.abs().max()).item()
    print(f"folded: the outputs change by {change:.1e} of the largest")
    print(next(layer for layer in deployed.modules() if isinstance(layer, XSepConv2d)))
    return change


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    logging.basicConfig(format="%(message)s")
    main(steps=parser.parse_args().steps)
