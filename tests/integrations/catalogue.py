"""What convolutional networks are used with: the rows of docs/integrations.md, in their order.

A row's cells are filled by the tests that name it (claims.py): every step that has a meaning for
the tool needs one.
"""

from __future__ import annotations

from typing import NamedTuple

STEPS = ("convert", "train", "save", "resume", "fold", "export")
"""`export` is whatever the folded, or the unfolded, network is handed on to."""


class Integration(NamedTuple):
    """One tool.

    Attributes:
        name: by which tests name it.
        steps: those that have a meaning for it.
        packages: distributions whose versions are quoted, beside the framework's.
    """

    name: str
    steps: str
    packages: tuple[str, ...] = ()


class Framework(NamedTuple):
    """One chapter.

    Attributes:
        name: its title.
        packages: distributions whose versions are quoted.
        integrations: its rows.
    """

    name: str
    packages: tuple[str, ...]
    integrations: tuple[Integration, ...]


TORCH = Framework(
    "PyTorch",
    ("torch",),
    (
        Integration("torch.optim", "convert train save resume fold"),
        Integration("OptimizerDOConv", "convert train save resume fold export"),
        Integration("autocast", "train fold"),
        Integration("torch.compile", "convert train fold"),
        Integration("torch.func", "train"),
        Integration("gradient checkpointing", "convert train"),
        Integration("AveragedModel (EMA, SWA)", "train fold"),
        Integration("DistributedDataParallel", "convert train save resume fold"),
        Integration("FSDP2 (fully_shard)", "convert train save resume fold"),
        Integration("ZeroRedundancyOptimizer", "convert"),
        Integration("Lightning", "convert train save resume fold", ("lightning",)),
        Integration("Hugging Face's Trainer", "convert train save resume fold", ("transformers",)),
        Integration(
            "from_pretrained, save_pretrained",
            "convert train save resume fold",
            ("transformers",),
        ),
        Integration("Accelerate", "convert train save resume fold", ("accelerate",)),
        Integration("schedulefree", "convert train fold", ("schedulefree",)),
        Integration("state_dict, safetensors", "save resume fold", ("safetensors",)),
        Integration("torch.distributed.checkpoint", "save resume fold"),
        Integration("pickle, torch.save", "save resume fold"),
        Integration("meta device", "convert train resume fold"),
        Integration("branch merging (RepVGG, MobileOne, timm)", "convert fold"),
        Integration("fuse_conv_bn_eval", "fold export"),
        Integration("pruning", "convert train fold"),
        Integration("weight norm, spectral norm", "convert train fold"),
        Integration("LoRA (peft)", "convert train fold", ("peft",)),
        Integration("torch.jit, torch.fx", "fold export"),
        Integration("torch.export", "fold export"),
        Integration("ONNX", "fold export", ("onnx", "onnxruntime")),
        Integration("AOTInductor", "fold export"),
        Integration("torchao PT2E (int8)", "fold export", ("torchao",)),
        Integration("onnxruntime static (int8)", "fold export", ("onnxruntime",)),
    ),
)

KERAS = Framework(
    "Keras",
    ("keras", "tensorflow-cpu", "jax"),
    (
        Integration("model.fit", "convert train save resume fold"),
        Integration("keras.applications", "convert train save fold"),
        Integration("mixed precision", "convert train fold"),
        Integration("MirroredStrategy", "convert train save fold"),
        Integration("MultiWorkerMirroredStrategy", "convert train save fold"),
        Integration("keras.distribution", "convert train save fold"),
        Integration("BatchNormalization(synchronized=True)", "train fold"),
        Integration(".keras files", "save resume fold"),
        Integration(".weights.h5 files", "save resume fold"),
        Integration("ModelCheckpoint", "convert train save resume fold"),
        Integration("BackupAndRestore", "convert train save resume"),
        Integration("enable_lora", "convert fold"),
        Integration("SavedModel", "fold export"),
        Integration("LiteRT (TFLite)", "fold export"),
        Integration("ONNX from Keras", "fold export", ("tf2onnx", "onnxruntime")),
        Integration('quantize("int8")', "fold export"),
        Integration("TFLite, full integer (int8)", "fold export"),
    ),
)

TF_KERAS = Framework(
    "tf_keras (Keras 2)",
    ("tf_keras", "tensorflow-cpu"),
    (
        Integration("tf_keras: model.fit", "convert train save resume fold"),
        Integration("tf_keras: checkpoints", "save resume fold"),
        Integration("tf_keras: MirroredStrategy", "convert train fold"),
        Integration("tf_keras: .weights.h5 files", "resume"),
        Integration("tf_keras: SavedModel", "fold export"),
    ),
)

GLUON = Framework(
    "Gluon",
    ("mxnet", "gluoncv"),
    (
        Integration("Trainer", "convert train save resume fold"),
        Integration("GluonCV's networks", "convert train save fold export"),
        Integration("SymbolBlock", "convert train fold export"),
        Integration("NumPy mode (mx.npx.set_np)", "convert train save resume fold"),
        Integration("Gluon's Estimator", "convert train save resume fold"),
        Integration("kvstore dist_sync", "convert train save fold"),
        Integration("symbol and params", "fold export"),
        Integration("ONNX from MXNet", "fold export", ("onnxruntime",)),
        Integration("quantize_net (int8)", "fold export"),
    ),
)

CATALOGUE = (TORCH, KERAS, TF_KERAS, GLUON)
