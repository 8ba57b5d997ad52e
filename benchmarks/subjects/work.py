"""What is measured: networks, batches and images, by framework and preset."""

from __future__ import annotations

from typing import NamedTuple


class Work(NamedTuple):
    """One training step to measure."""

    network: str
    batch: int
    size: int
    compiler: str = ""
    """"torch.compile", "XLA", or none."""
    channels_last: bool = False
    micro_batches: int = 1
    """Forward and backward passes per optimizer step; the batch is split among them."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    dtype: str = "float32"
    """"bfloat16" is that of autocast; parameters stay float32."""

    def __str__(self) -> str:
        extra = [
            self.compiler,
            "channels_last" * self.channels_last,
            f"{self.micro_batches} micro-batches" * (self.micro_batches > 1),
            self.device * (self.device != "cpu"),
            self.dtype * (self.dtype != "float32"),
        ]
        images = f"{self.batch} x {self.size}x{self.size}"
        return ", ".join([self.network, images, *filter(None, extra)])


WORKS: dict[str, dict[str, list[Work]]] = {
    "torch": {
        "tiny": [Work("tiny", 2, 8), Work("family", 2, 8)],
        "short": [Work("resnet18", 32, 64), Work("mobilenet_v2", 16, 112), Work("family", 32, 32)],
        "full": [
            Work("resnet18", 32, 64),
            Work("resnet18", 32, 64, channels_last=True),
            Work("resnet18", 32, 64, micro_batches=4),
            Work("resnet18", 32, 64, compiler="torch.compile"),
            Work("resnet50", 16, 112),
            Work("mobilenet_v2", 16, 112),
            Work("shared_head", 4, 32),
            Work("family", 32, 32),
        ],
    },
    "keras": {
        "tiny": [Work("tiny", 2, 8), Work("tiny", 2, 8, compiler="XLA")],
        "short": [Work("resnet18", 32, 32), Work("resnet18", 32, 32, compiler="XLA")],
        "full": [
            Work("resnet18", 32, 32),
            Work("resnet18", 32, 32, compiler="XLA"),
            Work("resnet50", 8, 96),
            Work("resnet50", 8, 96, compiler="XLA"),
        ],
    },
    "gluon": {
        "tiny": [Work("tiny", 2, 8)],
        "short": [Work("resnet18_v1b", 16, 64)],
        "full": [Work("resnet18_v1b", 16, 64), Work("resnet50_v1b", 8, 112)],
    },
}


class Variant(NamedTuple):
    """What the options ask of every work."""

    device: str = "cpu"
    dtype: str = "float32"
    channels_last: bool = False
    compiled: bool = False


USUAL = Variant()

ON_A_GPU = {
    "tiny": [Work("tiny", 2, 8)],
    "short": [Work("resnet18", 128, 224), Work("mobilenet_v2", 128, 224)],
    "full": [
        Work("resnet50", 128, 224),
        Work("resnet18", 128, 224),
        Work("mobilenet_v2", 128, 224),
    ],
}
"""Of PyTorch, where a batch has to be larger to keep the device at work."""


def works(framework: str, preset: str, variant: Variant = USUAL) -> list[Work]:
    """What is measured, as the options ask for it."""
    found = ON_A_GPU[preset] if variant.device == "cuda" else WORKS[framework][preset]
    if variant == USUAL:
        return found
    changed = [
        each._replace(
            device=variant.device,
            dtype=variant.dtype,
            channels_last=each.channels_last or variant.channels_last,
            compiler="torch.compile" if variant.compiled else each.compiler,
        )
        for each in found
        # The kernels of experts are five-dimensional, for which torch has no such format.
        if each.network != "family" or not variant.channels_last
    ]
    return list(dict.fromkeys(changed))
