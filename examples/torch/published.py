"""What docs/recipes.md lists of these recipes, also where torchvision is not installed."""

from __future__ import annotations


def _names(text: str) -> list[str]:
    return text.split()


CLASSIFIERS = _names("""
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
    densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l
    efficientnet_v2_m efficientnet_v2_s maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3
    mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf
    regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf
    regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf
    resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d
    resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0
    squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn
    vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32
    wide_resnet101_2 wide_resnet50_2
""")
"""All but GoogLeNet and Inception v3, whose further outputs its reference script does not train."""
SEGMENTERS = _names("""
    deeplabv3_mobilenet_v3_large deeplabv3_resnet101 deeplabv3_resnet50 fcn_resnet101 fcn_resnet50
    lraspp_mobilenet_v3_large
""")
DETECTORS = _names("""
    fasterrcnn_mobilenet_v3_large_320_fpn fasterrcnn_mobilenet_v3_large_fpn
    fasterrcnn_resnet50_fpn fcos_resnet50_fpn maskrcnn_resnet50_fpn retinanet_resnet50_fpn
    ssd300_vgg16 ssdlite320_mobilenet_v3_large
""")
"""No keypoints, which are another data set, nor second versions, which are trained otherwise."""
OWN = ["package.module:factory"]
CIFAR = [f"examples.torch.cifar:resnet{depth}" for depth in (20, 56, 110)]

_IMAGENET = {
    **{f"resnet{depth}": f"resnet{depth}_v1b" for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": "resnext50_32x4d",
    "mobilenet_v2": "mobilenetv2_1.0",
}
"""The same networks in GluonCV, whose figures the authors have."""


def classification_networks() -> dict[str, list[str]]:
    return {"torchvision": CLASSIFIERS, "timm": ["timm/NAME"], "CIFAR": CIFAR, "yours": OWN}


def classification_rows() -> list[dict[str, str]]:
    """The authors' networks, as far as torchvision has them, and He et al.'s on CIFAR."""
    on_cifar = [
        _row("classification", name, "CIFAR-10", "cifar-10-batches-bin", processes=1)
        for name in CIFAR
    ]
    on_imagenet = [
        {**_row("classification", name, "ImageNet", "imagenet"), "like": like}
        for name, like in _IMAGENET.items()
    ]
    return on_imagenet + on_cifar


def segmentation_networks() -> dict[str, list[str]]:
    return {"torchvision": SEGMENTERS}


def segmentation_rows() -> list[dict[str, str]]:
    return [
        _row("segmentation", name, data, folder, " --backbone IMAGENET1K_V1")
        for data, folder in (("Pascal VOC", "voc"), ("Cityscapes", "citys"))
        for name in SEGMENTERS
    ]


def detection_networks() -> dict[str, list[str]]:
    return {"torchvision": DETECTORS}


def detection_rows() -> list[dict[str, str]]:
    weights = {"ssd300_vgg16": "IMAGENET1K_FEATURES"}
    return [
        _row("detection", name, "COCO", "coco", f" --backbone {weights.get(name, 'IMAGENET1K_V1')}")
        for name in DETECTORS
    ]


def _row(
    recipe: str, name: str, data: str, folder: str, more: str = "", processes: int = 8
) -> dict[str, str]:
    start = "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"
    run = name.rpartition(":")[2]
    return {
        "network": name,
        "data": data,
        "command": f"{start} -m examples.torch.{recipe} --network {name} --data {folder}"
        f" --output runs/{run}{more}",
    }
