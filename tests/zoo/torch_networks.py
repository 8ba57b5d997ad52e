"""Networks of torchvision and timm, none of them ours, and none downloaded.

Of each family the smallest member (of each of timm's modules the one with the fewest parameters
among those with a spatial convolution); everything, on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torchvision import models

HUGE = 150_000_000
"""Parameters; a larger one does not train in a few GB."""

SIZE = 224
"""Pixels, where a network does not ask for others."""


AS_GIVEN = ("halonet_h1",)
"""Of timm: what takes other sizes than its own, but not 224."""


class Network(NamedTuple):
    """A network of a zoo, not built yet, and the shapes of its inputs."""

    zoo: str
    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...] = ((2, 3, SIZE, SIZE),)

    def inputs(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(shape, generator=generator) for shape in self.shapes]


CLASSIFIERS = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50",
    "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0", "squeezenet1_1", "swin_t",
    "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip
SEGMENTERS = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50",
              "lraspp_mobilenet_v3_large")  # fmt: skip
DETECTORS = (
    "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn", "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16", "ssdlite320_mobilenet_v3_large",
)  # fmt: skip
VIDEOS = ("mc3_18", "mvit_v1_b", "r2plus1d_18", "r3d_18", "s3d", "swin3d_t")
FLOWS = ("raft_small",)

SMALLEST = {
    "beit": "beit_base_patch16_224", "byoanet": "halonet_h1", "byobnet": "mobileone_s1",
    "cait": "cait_xxs24_224", "coat": "coat_tiny", "convit": "convit_tiny",
    "convmixer": "convmixer_768_32", "convnext": "convnext_zepto_rms", "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240", "csatv2": "csatv2", "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny", "davit": "davit_tiny", "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224", "densenet": "densenet121", "dla": "dla46x_c", "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small", "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0", "efficientnet": "mobilenetv2_035",
    "efficientvim": "efficientvim_m1", "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0", "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0", "fastvit": "fastvit_t8", "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny", "gemma4_vit": "gemma4_vit_167m", "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b", "hgnet": "hgnetv2_b0", "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny", "hrnet": "hrnet_w18_small", "iformer": "iformer_t",
    "inception_next": "inception_next_atto", "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3", "inception_v4": "inception_v4", "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s", "lowformer": "lowformer_b0", "mambaout": "mambaout_femto",
    "maxxvit": "maxvit_pico_rw_256", "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224", "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base", "mobilevit": "mobilevit_xxs", "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap", "nasnet": "nasnetalarge",
    "nest": "nest_tiny", "nextvit": "nextvit_small", "nfnet": "nf_regnet_b0", "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large", "pvt_v2": "pvt_v2_b0", "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny", "regnet": "regnetx_002", "repghost": "repghostnet_050",
    "repvit": "repvit_m1", "res2net": "res2next50", "resnest": "resnest14d", "resnet": "resnet10t",
    "resnetv2": "resnetv2_18", "rexnet": "rexnet_100", "selecsls": "selecsls42",
    "senet": "legacy_seresnet18", "sequencer": "sequencer2d_s", "shvit": "shvit_s1",
    "sknet": "skresnet18", "starnet": "starnet_s050", "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224", "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224", "tresnet": "tresnet_m", "twins": "twins_svt_small",
    "vgg": "vgg11", "visformer": "visformer_tiny", "vision_transformer": "vit_tiny_patch16_224",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "vit_srelpos_small_patch16_224",
    "vision_transformer_sam": "samvit_base_patch16_224", "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224", "vovnet": "ese_vovnet19b_slim_dw", "xception": "legacy_xception",
    "xception_aligned": "xception41p", "xcit": "xcit_nano_12_p8_224",
}  # fmt: skip
"""Of each of timm's modules."""


def networks(*, everything: bool = False) -> Iterator[Network]:
    """Of both zoos; of a module of timm that is not listed above, the first network."""
    for module, kind in _KINDS.items():
        names = models.list_models(module=module) if everything else kind.names
        for name in names:
            yield kind.network(name)
    for module in timm.list_modules():
        members = timm.list_models(module=module)
        for name in members if everything else [SMALLEST.get(module, members[0])]:
            yield _of_timm(name)


class _Kind(NamedTuple):
    names: tuple[str, ...]
    network: Callable[[str], Network]


def _classifier(name: str) -> Network:
    more = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    size = 299 if name == "inception_v3" else SIZE
    return _of_torchvision(name, (2, 3, size, size), **more)


def _of_torchvision(name: str, *shapes: tuple[int, ...], **more: Any) -> Network:
    def make() -> nn.Module:
        return models.get_model(name, weights=None, **more)

    return Network("torchvision", name, make, shapes)


def _segmenter(name: str) -> Network:
    return _of_torchvision(name, (2, 3, 64, 64), weights_backbone=None)


def _detector(name: str) -> Network:
    size = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}.get(name, 256)

    def make() -> nn.Module:
        return _Dense(models.get_model(name, weights=None, weights_backbone=None))

    return Network("torchvision", name, make, ((1, 3, size, size),))


class _Dense(nn.Module):
    """A detector without thresholds and orders: its features, and what its heads make of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Any]:
        model, features = self.model, list(self.model.backbone(images).values())
        if not hasattr(model, "rpn"):
            return [features, model.head(features)]
        regions, found = model.roi_heads, [features, model.rpn.head(features)]
        region = features[0][..., :7, :7]
        found.append(regions.box_predictor(regions.box_head(region)))
        for name in ("mask", "keypoint"):
            if (head := getattr(regions, f"{name}_head", None)) is not None:
                found.append(getattr(regions, f"{name}_predictor")(head(region)))
        return found


def _video(name: str) -> Network:
    size = 112 if name.endswith("_18") else SIZE
    return _of_torchvision(name, (1, 3, 16, size, size))


def _flow(name: str) -> Network:
    return _of_torchvision(name, (1, 3, 128, 128), (1, 3, 128, 128))


def _of_timm(name: str) -> Network:
    given = timm.get_pretrained_cfg(name, allow_unregistered=False)
    _, height, width = given.input_size if given else (3, SIZE, SIZE)
    if given and not given.fixed_input_size and name not in AS_GIVEN:
        height, width = min(height, SIZE), min(width, SIZE)
    return Network("timm", name, lambda: timm.create_model(name), ((2, 3, height, width),))


_KINDS = {
    models: _Kind(CLASSIFIERS, _classifier),
    models.segmentation: _Kind(SEGMENTERS, _segmenter),
    models.detection: _Kind(DETECTORS, _detector),
    models.video: _Kind(VIDEOS, _video),
    models.optical_flow: _Kind(FLOWS, _flow),
}
