"""What is measured: networks, batches and images, by framework and preset."""

from __future__ import annotations

from typing import NamedTuple


class Work(NamedTuple):
    """One training step to measure."""

    network: str
    batch: int
    size: int
    compiled: bool = False
    channels_last: bool = False
    micro_batches: int = 1
    """Forward and backward passes per optimizer step; the batch is split among them."""

    def __str__(self) -> str:
        extra = [
            "compiled" * self.compiled,
            "channels_last" * self.channels_last,
            f"{self.micro_batches} micro-batches" * (self.micro_batches > 1),
        ]
        images = f"{self.batch} x {self.size}x{self.size}"
        return ", ".join([self.network, images, *filter(None, extra)])


WORKS: dict[str, dict[str, list[Work]]] = {
    "torch": {
        "short": [Work("resnet18", 32, 64), Work("mobilenet_v2", 16, 112)],
        "full": [
            Work("resnet18", 32, 64),
            Work("resnet18", 32, 64, channels_last=True),
            Work("resnet18", 32, 64, micro_batches=4),
            Work("resnet18", 32, 64, compiled=True),
            Work("resnet50", 16, 112),
            Work("mobilenet_v2", 16, 112),
        ],
    },
}
