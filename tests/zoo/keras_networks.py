"""Networks of keras.applications, keras-hub and kimm, none of them ours, and none downloaded.

Of each family the smallest member; with ``--all`` every member that a CPU builds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import keras_hub
import kimm

SIZE = 64


class Network(NamedTuple):
    """A network of a zoo, not built yet."""

    zoo: str
    name: str
    make: Callable[[], keras.Model]


SMALLEST = (
    # keras.applications
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2",
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large",
    "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception",
    # kimm
    "ConvMixer736D32", "ConvNeXtAtto", "EfficientNetLiteB0", "GhostNetW050", "GhostNetV2W100",
    "GhostNetV3W050", "HGNetTiny", "HGNetV2B0", "InceptionNeXtTiny", "LCNet035", "MobileNetV2W050",
    "MobileNetV3W050Small", "MobileOneS0", "MobileViTXXS", "MobileViTV2W050", "RegNetX002",
    "RegNetY002", "RepVGGA0", "ResNet18", "TinyNetE", "VGG11", "VisionTransformerTiny16",
)  # fmt: skip

AT_LEAST = {
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    "kimm VGG11": 224,
    "kimm VGG16": 224,
}
"""Pixels, where a network takes no fewer than that."""

GIVEN = {"weights": None, "classes": 10, "classifier_activation": None}
"""To all of them; a softmax may saturate, and then hide every difference."""

HUGE = 140_000_000
"""Parameters; a larger one does not train in a few GB."""


def networks(*, everything: bool = False) -> Iterator[Network]:
    """Of all three zoos."""
    yield from _applications(everything)
    yield from _kimm(everything)
    yield from _hub()


def _applications(everything: bool) -> Iterator[Network]:
    for name, make in sorted(vars(keras.applications).items()):
        if inspect.isfunction(make) and (everything or name in SMALLEST):
            size = AT_LEAST.get(name, SIZE)
            given = {**GIVEN, "input_shape": (size, size, 3)}
            yield Network("keras.applications", name, lambda m=make, g=given: m(**g))


def _kimm(everything: bool) -> Iterator[Network]:
    for name in kimm.list_models():
        if everything or name in SMALLEST:
            size = AT_LEAST.get(f"kimm {name}", AT_LEAST.get(name, SIZE))
            given = {**GIVEN, "input_shape": (size, size, 3)}
            make = getattr(kimm.models, name)
            yield Network("kimm", name, lambda m=make, g=given: m(**g))


def _hub() -> Iterator[Network]:
    for name, arguments in HUB.items():
        make = getattr(keras_hub.models, f"{name.split()[0]}Backbone")
        yield Network("keras-hub", name, lambda m=make, a=arguments: m(**a()))


IMAGE = (SIZE, SIZE, 3)


def _resnet(**given: Any) -> dict[str, Any]:
    return {
        "input_conv_filters": [16],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 64, 64, 64],
        "stackwise_num_blocks": [1, 1, 1, 1],
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": "bottleneck_block",
        "image_shape": IMAGE,
        **given,
    }


def _mit() -> dict[str, Any]:
    return {
        "layerwise_depths": [1, 1, 1, 1],
        "image_shape": IMAGE,
        "hidden_dims": [8, 16, 24, 32],
        "num_layers": 4,
        "layerwise_num_heads": [1, 1, 2, 2],
        "layerwise_sr_ratios": [8, 4, 2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3, 3, 3],
        "layerwise_strides": [4, 2, 2, 2],
    }


def _of_a_resnet() -> keras.Model:
    return keras_hub.models.ResNetBackbone(**_resnet())


HUB: dict[str, Callable[[], dict[str, Any]]] = {
    "ResNet": _resnet,
    "ResNet pre-activation": lambda: _resnet(use_pre_activation=True),
    "ResNet D": lambda: _resnet(
        input_conv_filters=[8, 8, 16],
        input_conv_kernel_sizes=[3, 3, 3],
        block_type="bottleneck_block_vd",
    ),
    "DenseNet": lambda: {"stackwise_num_repeats": [2, 2, 2], "image_shape": IMAGE},
    "VGG": lambda: {
        "stackwise_num_repeats": [1, 2],
        "stackwise_num_filters": [8, 16],
        "image_shape": IMAGE,
    },
    "EfficientNet": lambda: {
        "stackwise_width_coefficients": [1.0] * 3,
        "stackwise_depth_coefficients": [1.0] * 3,
        "stackwise_kernel_sizes": [3, 3, 5],
        "stackwise_num_repeats": [1, 2, 1],
        "stackwise_input_filters": [16, 16, 24],
        "stackwise_output_filters": [16, 24, 40],
        "stackwise_expansion_ratios": [1, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0.25] * 3,
        "stackwise_strides": [1, 2, 2],
        "stackwise_block_types": ["v1", "v1", "fused"],
        "stackwise_force_input_filters": [0] * 3,
        "stackwise_nores_option": [False] * 3,
        "input_shape": IMAGE,
    },
    "MobileNet": lambda: {
        "stackwise_expansion": [[16, 24], [24, 24]],
        "stackwise_num_blocks": [2, 2],
        "stackwise_num_filters": [[16, 16], [24, 24]],
        "stackwise_kernel_size": [[3, 3], [5, 5]],
        "stackwise_num_strides": [[2, 1], [2, 1]],
        "stackwise_se_ratio": [[None, None], [0.25, 0.25]],
        "stackwise_activation": [["relu", "relu"], ["hard_swish", "hard_swish"]],
        "stackwise_padding": [[1, 1], [2, 2]],
        "output_num_filters": 64,
        "depthwise_filters": 8,
        "depthwise_stride": 2,
        "depthwise_residual": False,
        "last_layer_filter": 128,
        "squeeze_and_excite": 0.5,
        "image_shape": IMAGE,
    },
    "CSPNet": lambda: {
        "stem_filters": 16,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 2],
        "stackwise_strides": [2, 2],
        "stackwise_num_filters": [32, 64],
        "block_type": "dark_block",
        "stage_type": "dark",
        "image_shape": IMAGE,
    },
    "MiT": _mit,
    "Xception": lambda: {
        "stackwise_conv_filters": [[16, 32], [32, 64], [96, 96]],
        "stackwise_pooling": [True, True, False],
        "image_shape": IMAGE,
    },
    "HGNetV2": lambda: {
        "depths": [1, 1],
        "embedding_size": 32,
        "hidden_sizes": [64, 128],
        "stem_channels": [3, 16, 32],
        "hidden_act": "relu",
        "use_learnable_affine_block": True,
        "stackwise_stage_filters": [(32, 16, 64, 1, 1, 3), (64, 32, 128, 1, 1, 5)],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, True],
        "image_shape": IMAGE,
    },
    "DeepLabV3": lambda: {
        "image_encoder": _of_a_resnet(),
        "spatial_pyramid_pooling_key": "P4",
        "low_level_feature_key": "P2",
        "upsampling_size": 4,
        "dilation_rates": [2, 4],
        "image_shape": IMAGE,
    },
    "SegFormer": lambda: {
        "image_encoder": keras_hub.models.MiTBackbone(**_mit()),
        "projection_filters": 16,
    },
    "RetinaNet": lambda: {
        "image_encoder": _of_a_resnet(),
        "min_level": 3,
        "max_level": 5,
        "use_p5": False,
        "image_shape": IMAGE,
    },
    "Whisper": lambda: {
        "vocabulary_size": 10,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "num_mels": 8,
        "max_encoder_sequence_length": 16,
        "max_decoder_sequence_length": 8,
    },
    "ViT": lambda: {
        "image_shape": IMAGE,
        "patch_size": (16, 16),
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "mlp_dim": 32,
    },
}
"""Small members: arguments by family."""
