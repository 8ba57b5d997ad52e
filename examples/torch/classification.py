r"""ImageNet, CIFAR or your own folders of images, with DO-Conv.

    pip install '.[torch]' torchvision tqdm
    torchrun --nproc-per-node 8 -m examples.torch.classification \
        --network resnet50 --data imagenet --output runs/resnet50
    python -m examples.torch.classification \
        --network examples.torch.cifar:resnet20 --data cifar-10-batches-bin --output runs/resnet20

A network is one of torchvision's (resnet50), of timm's (timm/resnet50), or a function of yours
(package.module:factory, called with num_classes). DATA has train/CLASS/IMAGE and val/CLASS/IMAGE,
or is an unpacked archive of CIFAR. Without torchvision, CIFAR and your own functions work.

Settings: torchvision's references/classification (README.md, train.py, presets.py), for CIFAR
arXiv 1512.03385, section 4.2. Stopped by Ctrl-C or a cluster, the same command goes on.
"""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from doconv_torch import OptimizerDOConv, convert, fold, summary
from examples.torch import cifar, common, published

SETTINGS = {"epochs": 90, "batch_size": 32, "lr": 0.1, "weight_decay": 1e-4, "drops": (30, 60)}
"""For 8 GPUs; then what differs in a family of networks."""
DIFFERS: dict[str, dict[str, Any]] = {
    "alexnet": {"lr": 0.01},
    "vgg": {"lr": 0.01},
    "resnext": {"epochs": 100, "drops": (30, 60, 90)},
    "mobilenet_v2": {"epochs": 300, "lr": 0.045, "weight_decay": 4e-5, "gamma": 0.98,
                     "drops": tuple(range(1, 300))},
}  # fmt: skip
ON_CIFAR = {"epochs": 164, "batch_size": 128, "lr": 0.1, "weight_decay": 1e-4, "drops": (82, 123)}

networks, rows = published.classification_networks, published.classification_rows


def network(name: str, classes: int) -> nn.Module:
    """By the name given to ``--network``, without weights."""
    if name.startswith("timm/"):
        import timm

        return timm.create_model(name.removeprefix("timm/"), num_classes=classes)
    if ":" in name:
        module, factory = name.split(":")
        return getattr(importlib.import_module(module), factory)(num_classes=classes)
    from torchvision.models import get_model

    return get_model(name, weights=None, num_classes=classes)


def data(folder: Path, size: int) -> tuple[Any, Any, int]:
    """For training, for validation, and how many classes there are."""
    if folder.name in cifar.FORMATS and folder.is_dir():
        training = cifar.CIFAR(folder, training=True)
        return training, cifar.CIFAR(folder, training=False), training.classes
    if not (folder / "train").is_dir() or not (folder / "val").is_dir():
        common.no_data(
            "a folder with train/CLASS/IMAGE and val/CLASS/IMAGE is expected, or one named "
            + ", ".join(cifar.FORMATS) + " as CIFAR's archives unpack.", folder)  # fmt: skip
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    end = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
           v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]  # fmt: skip
    augmented = v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), *end])
    cut = v2.Compose([v2.Resize(size * 256 // 224), v2.CenterCrop(size), *end])
    training = ImageFolder(folder / "train", augmented)
    return training, ImageFolder(folder / "val", cut), len(training.classes)


def rate(args: argparse.Namespace) -> Callable[[float], float]:
    """The learning rate's factor at an epoch: after a warm-up, by steps or by a cosine."""

    def at(epoch: float) -> float:
        if epoch < args.warmup_epochs:
            return 0.01 + 0.99 * epoch / args.warmup_epochs
        if args.cosine:
            done = (epoch - args.warmup_epochs) / (args.epochs - args.warmup_epochs)
            return (1 + math.cos(math.pi * min(done, 1))) / 2
        return float(args.gamma ** sum(epoch >= drop for drop in args.drops))

    return at


@torch.no_grad()
def evaluate(network: nn.Module, batches: Any, *, autocast: bool = False) -> dict[str, float]:
    """Percentages of images whose class is the first guess, and among the first five."""
    network.eval()
    device = next(network.parameters()).device
    sums = torch.zeros(3, device=device)
    for images, labels in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            guesses = network(images.to(device))
        hits = guesses.topk(min(5, guesses.shape[1])).indices == labels.to(device)[:, None]
        sums += torch.stack(
            [hits[:, 0].sum(), hits.sum(), torch.ones_like(labels).sum().to(device)]
        )
    first, five, count = common.summed(sums).tolist()
    return {"top1": 100 * first / count, "top5": 100 * five / count}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    parser = common.options(__doc__, "resnet50", networks(), ("none", "all"))
    parser.add_argument("--size", type=int, default=224, help="of images; by default 224")
    parser.add_argument("--cosine", action="store_true", help="instead of steps")
    parser.add_argument("--warmup-epochs", type=float, default=0)
    parser.add_argument("--label-smoothing", type=float, default=0)
    args = parser.parse_args(arguments)
    training, validation, classes = data(args.data, args.size)
    family = next((each for each in DIFFERS if args.network.startswith(each)), "")
    own = {"gamma": 0.1, **SETTINGS, **DIFFERS.get(family, {})}
    if isinstance(training, cifar.CIFAR):
        own |= ON_CIFAR
    common.settle(args, own, images=128 if isinstance(training, cifar.CIFAR) else 8 * 32)
    device = common.start(args)
    layout = {"memory_format": torch.channels_last} if args.channels_last else {}
    model = common.begin(args, network(args.network, classes))
    layers = args.do_conv == "all" and not args.at_optimizer

    if layers:
        model = convert(model, D_mul=args.D_mul)
    model = model.to(device, **layout)
    optimizer = torch.optim.SGD(
        model.parameters(), args.lr, momentum=0.9, weight_decay=args.weight_decay
    )
    if args.do_conv == "all" and args.at_optimizer:
        OptimizerDOConv(model, optimizer, D_mul=args.D_mul)

    def loss(network: nn.Module, batch: Any) -> Tensor:
        images, labels = batch[0].to(device, **layout), batch[1].to(device)
        return nn.functional.cross_entropy(
            network(images), labels, label_smoothing=args.label_smoothing
        )

    def measure(network: nn.Module) -> dict[str, float]:
        return evaluate(network, common.evaluation_loader(args, validation), autocast=args.bf16)

    trained = common.train(
        args, model, optimizer, training, loss=loss, rate=rate(args), evaluate=measure
    )
    deployed = fold(trained) if layers else trained
    converted = len(summary(trained).converted)
    return common.finish(args, deployed, {"layers": converted, **measure(deployed)})


if __name__ == "__main__":
    main()
