"""Single layers, for :mod:`benchmarks.composition` and :mod:`benchmarks.sweep`."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.frame.timing import Step

COPY = "copy of W"
"""One pass over W, which doubles it so that no framework gets away without a copy."""
CONVOLUTION = "the convolution itself"
FEATURE = "feature composition, beyond it"

Pass = tuple[Step, Step]
"""Forward, and backward: from the output's gradient to those of all inputs."""


class Layer(NamedTuple):
    """A convolution of stride 1 that keeps the image's size."""

    inputs: int
    outputs: int
    kernel_size: int
    groups: int
    batch: int
    size: int

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """I, O, k, g."""
        return self[:4]

    @property
    def images(self) -> str:
        """The batch that the convolution itself, and feature composition, work on."""
        return f"{self.batch} x {self.size}x{self.size}"

    @property
    def W_bytes(self) -> int:
        """Of W, in float32."""
        return 4 * self.outputs * self.inputs // self.groups * self.kernel_size**2

    def __str__(self) -> str:
        k, g = self.kernel_size, self.groups
        groups = "" if g == 1 else ", depthwise" if g == self.inputs else f", {g} groups"
        return f"{self.inputs} -> {self.outputs}, {k}x{k}{groups}"


LAYERS: dict[str, list[Layer]] = {
    "tiny": [Layer(4, 4, 3, 1, 2, 4)],
    "short": [
        Layer(64, 64, 3, 1, 16, 16),
        Layer(512, 512, 3, 1, 16, 4),
        Layer(384, 384, 3, 384, 16, 8),
    ],
    "full": [
        Layer(64, 64, 3, 1, 16, 32),
        Layer(128, 128, 3, 1, 16, 16),
        Layer(256, 256, 3, 1, 16, 8),
        Layer(512, 512, 3, 1, 16, 4),
        Layer(256, 256, 5, 1, 16, 8),
        Layer(256, 256, 3, 32, 16, 8),
        Layer(384, 384, 3, 384, 16, 8),
        Layer(384, 384, 5, 384, 16, 8),
    ],
}
