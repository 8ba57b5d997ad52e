"""EfficientNet-B0 with CondConv in its last three stages, over-parameterized, trained and folded.

    python examples/torch/efficientnet_condconv.py [--experts 8] [--steps 40]

As in arXiv 1904.04971 and the authors' code (tensorflow/tpu, efficientnet/condconv): every
convolution of the last three stages' blocks is CondConv; one routing per block, of the block's
input, is shared by its three convolutions; the classifier is plain. First the costs of the real
network are printed, then a narrow one is trained on scikit-learn's digits.

The authors publish, for 0, 4 and 8 experts, 5.3 M, 13.3 M and 24.0 M parameters and 391 M, 402 M
and 413 M multiply-accumulates. Here the parameters are the same, the multiply-accumulates 386 M,
397 M and 407 M. What CondConv adds, 11 M and 22 M, agrees to their rounding. The 5 M between stand
in the plain network already: only convolutions are counted here, and the means and products of its
squeeze-and-excite blocks, for instance, would be 4.6 M more. What the authors count is not said.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from doconv_torch import CondConv2d, Routing, convert, fold, summary

# (expansion, output channels, blocks, stride, kernel size) of each stage of EfficientNet-B0
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
CONDITIONAL_STAGES = 3


class SqueezeExcite(nn.Module):
    """Scales channels by a small network of their means."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.expand(nn.functional.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


class Block(nn.Module):
    """Expand, depthwise, squeeze and excite, project; conditional where ``experts`` > 0."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, stride: int, kernel_size: int, experts: int
    ) -> None:
        super().__init__()
        inner = inputs * expansion

        def conv(i: int, o: int, k: int, stride: int = 1, groups: int = 1) -> nn.Module:
            arguments = (i, o, k, stride, k // 2, 1, groups, False)
            if not experts:
                return nn.Conv2d(*arguments)
            return CondConv2d(*arguments, num_experts=experts, routing=False)

        self.routing = Routing(inputs, experts) if experts else None
        if expansion > 1:
            self.expand: nn.Module | None = conv(inputs, inner, 1)
            self.norm1 = nn.BatchNorm2d(inner)
        else:
            self.expand = None
        self.depthwise = conv(inner, inner, kernel_size, stride, inner)
        self.norm2 = nn.BatchNorm2d(inner)
        self.excite = SqueezeExcite(inner, max(1, inputs // 4))
        self.project = conv(inner, outputs, 1)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        alpha = () if self.routing is None else (self.routing(x),)
        y = x
        if self.expand is not None:
            y = nn.functional.silu(self.norm1(self.expand(y, *alpha)))
        y = nn.functional.silu(self.norm2(self.depthwise(y, *alpha)))
        y = self.norm3(self.project(self.excite(y), *alpha))
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """EfficientNet-B0, or a narrower one.

    Args:
        experts: in the last stages; 0 builds the plain network.
        classes: of the classifier.
        width: a factor of all channels.
        stem_stride: 2 for photographs; 1 keeps more of a small image.
    """

    def __init__(
        self, experts: int, classes: int = 1000, width: float = 1.0, stem_stride: int = 2
    ) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(8, round(channels * width / 8) * 8)

        channels = scaled(32)
        self.stem = nn.Conv2d(3, channels, 3, stem_stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        blocks = []
        for index, (expansion, out, count, stride, kernel_size) in enumerate(STAGES):
            conditional = experts if index >= len(STAGES) - CONDITIONAL_STAGES else 0
            for block in range(count):
                step = 1 if block else stride
                blocks.append(
                    Block(channels, scaled(out), expansion, step, kernel_size, conditional)
                )
                channels = scaled(out)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(channels, scaled(1280), 1, bias=False)
        self.norm2 = nn.BatchNorm2d(scaled(1280))
        self.classifier = nn.Conv2d(scaled(1280), classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.norm1(self.stem(x)))
        x = nn.functional.silu(self.norm2(self.head(self.blocks(x))))
        return self.classifier(x.mean((2, 3), keepdim=True)).flatten(1)


def cost(model: nn.Module, x: Tensor) -> str:
    """Parameters and multiply-accumulates of a forward pass of one image, in millions."""
    parameters = sum(p.numel() for p in model.parameters())
    rows = summary(model, x)
    return f"{parameters / 1e6:8.2f} {sum(row.macs[1] for row in rows if row.macs) / 1e6:8.1f}"


def print_costs(experts: int, width: float, image: int) -> None:
    """A table: the plain network, with CondConv, over-parameterized, and folded."""
    x = torch.zeros(1, 3, image, image)
    conditional = EfficientNet(experts, width=width)
    training = convert(conditional)
    print(f"{'millions of':24} weights     MACs")
    print(f"{'EfficientNet':24}{cost(EfficientNet(0, width=width), x)}")
    print(f"{f'CondConv, {experts} experts':24}{cost(conditional, x)}")
    print(f"{'DO-CondConv, training':24}{cost(training, x)}")
    print(f"{'DO-CondConv, folded':24}{cost(fold(training, inplace=True), x)}")


def digits() -> tuple[Tensor, Tensor]:
    """Real images of digits, (N, 3, 16, 16), and their classes."""
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1
    x = nn.functional.interpolate(x, scale_factor=2).expand(-1, 3, -1, -1)
    return x, torch.tensor(data.target)


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int, batch: int = 64) -> None:
    """Some steps of SGD, printing the loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.train()
    for step in range(steps):
        chosen = torch.randint(len(x), (batch,))
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step:3}: loss {loss.item():.3f}")


def main(experts: int = 8, steps: int = 40, width: float = 1.0, image: int = 224) -> float:
    """Run the example; returns the largest change of an output by folding."""
    torch.manual_seed(0)
    print_costs(experts, width, image)
    x, y = digits()
    model = convert(EfficientNet(experts, classes=10, width=0.25, stem_stride=1))
    train(model, x, y, steps)
    model.eval()
    with torch.no_grad():
        before = model(x[:256])
        deployed = fold(model)
        after = deployed(x[:256])
    change = (after - before).abs().max().item()
    print(f"folded: outputs up to {before.abs().max().item():.2f} changed by at most {change:.1e}")
    print(f"the last depthwise layer is now {deployed.blocks[-1].depthwise}")
    return change


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    main(arguments.experts, arguments.steps)
