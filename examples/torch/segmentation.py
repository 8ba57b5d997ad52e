r"""Semantic segmentation on Pascal VOC or Cityscapes, with DO-Conv.

    pip install '.[torch]' torchvision tqdm
    torchrun --nproc-per-node 8 -m examples.torch.segmentation \
        --network deeplabv3_resnet50 --backbone IMAGENET1K_V1 --data voc --output runs/deeplabv3

DATA has VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}, or Cityscapes'
leftImg8bit/{train,val} and gtFine/{train,val}. A backbone is a name of torchvision's weights, or
the folded.pt of examples.torch.classification.

Settings: torchvision's references/segmentation (README.md, train.py, presets.py), whose networks
saw COCO; here they see VOC or Cityscapes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from doconv_torch import OptimizerDOConv, convert, fold, summary
from examples.torch import common, published

SETTINGS = {"epochs": 30, "batch_size": 4, "lr": 0.02, "weight_decay": 1e-4}
"""For 8 GPUs, and what differs for those on a MobileNetV3."""
MOBILE = {"lr": 0.01, "weight_decay": 1e-6}
IGNORED = 255

networks, rows = published.segmentation_networks, published.segmentation_rows


def network(args: argparse.Namespace, classes: int) -> nn.Module:
    """By its name, with the backbone that was asked for."""
    from torchvision.models import get_model

    file = Path(args.backbone) if args.backbone.endswith(".pt") else None
    model = get_model(
        args.network,
        weights=None,
        weights_backbone=None if file else args.backbone or None,
        num_classes=classes,
        **({} if args.network.startswith("lraspp") else {"aux_loss": True}),
    )
    if file:
        state = torch.load(file, map_location="cpu", weights_only=True)
        # A classifier names its stages as a backbone does, or has them under `features`.
        state = {name.removeprefix("features."): value for name, value in state.items()}
        missing = model.backbone.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise SystemExit(f"{file} is of another backbone: it lacks {', '.join(missing[:3])}.")
    return common.begin(args, model)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    stages = ("none", "backbone", "all")
    parser = common.options(__doc__, "deeplabv3_resnet50", networks(), stages)
    parser.add_argument("--backbone", default="", help="weights; by default none")
    parser.add_argument("--crop", type=int, default=480, help="pixels; by default 480")
    args = parser.parse_args(arguments)
    from examples.torch.segmentation_data import masks  # which needs torchvision

    training, validation, classes = masks(args.data, args.crop)
    common.settle(args, SETTINGS | (MOBILE if "mobile" in args.network else {}), images=8 * 4)
    device = common.start(args)
    layout = {"memory_format": torch.channels_last} if args.channels_last else {}
    model = network(args, classes)
    where = None if args.do_conv == "all" else "backbone"
    layers = args.do_conv != "none" and not args.at_optimizer

    if layers:
        model = convert(model, where=where, D_mul=args.D_mul)
    model = model.to(device, **layout)
    if device.type == "cuda" and common.rank_and_size()[1] > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    heads = {"backbone": 1, "classifier": 1, "aux_classifier": 10}
    optimizer = torch.optim.SGD(
        [
            {"params": list(part.parameters()), "lr": heads[name] * args.lr}
            for name, part in model.named_children()
        ],
        momentum=0.9,
        weight_decay=args.weight_decay,
    )
    if args.do_conv != "none" and args.at_optimizer:
        OptimizerDOConv(model, optimizer, where=where, D_mul=args.D_mul)

    def loss(network: nn.Module, batch: Any) -> Tensor:
        images, target = batch[0].to(device, **layout), batch[1].to(device)
        weights = {"out": 1.0, "aux": 0.5}
        return sum(
            weights[name] * nn.functional.cross_entropy(output, target, ignore_index=IGNORED)
            for name, output in network(images).items()
        )

    def measure(network: nn.Module) -> dict[str, float]:
        batches = common.evaluation_loader(args, validation, batch_size=1)  # of different sizes
        return evaluate(network, batches, classes, autocast=args.bf16)

    trained = common.train(
        args, model, optimizer, training, loss=loss, evaluate=measure,
        rate=lambda epoch: max(1 - epoch / args.epochs, 0) ** 0.9,
    )  # fmt: skip
    deployed = fold(trained) if layers else trained
    converted = len(summary(trained).converted)
    return common.finish(args, deployed, {"layers": converted, **measure(deployed)})


@torch.no_grad()
def evaluate(
    network: nn.Module, batches: Any, classes: int, *, autocast: bool = False
) -> dict[str, float]:
    """Percentages: of pixels, and the intersection over union, averaged over classes that occur."""
    network.eval()
    device = next(network.parameters()).device
    table = torch.zeros(classes, classes, device=device)
    for images, target in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            found = network(images.to(device))["out"].argmax(1)
        counted, target = target != IGNORED, target.to(device)
        pairs = classes * target[counted] + found[counted]
        table += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    table = common.summed(table)
    right, union = table.diag(), table.sum(0) + table.sum(1) - table.diag()
    return {
        "pixels": float(100 * right.sum() / table.sum()),
        "mIoU": float(100 * (right / union).nanmean()),
    }


if __name__ == "__main__":
    main()
