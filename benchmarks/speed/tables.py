"""What the page's tables are made of: a training step each, with a number of threads."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.subjects.work import Work

OURS = "DO-Conv"
AT_OPTIMIZER = "DO-Conv, at the optimizer"
WITHOUT = ", no native kernel"
OFFICIAL = "official way"


class Table(NamedTuple):
    """One training step, in several ways, interleaved in one process."""

    framework: str
    work: Work
    threads: int
    ways: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the page has it."""
        return f"{self.framework} {self.work}"

    def __str__(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"


_EAGER = (OURS, OURS + WITHOUT, AT_OPTIMIZER, AT_OPTIMIZER + WITHOUT, OFFICIAL)
_COMPILED = (OURS, AT_OPTIMIZER, AT_OPTIMIZER + WITHOUT, OFFICIAL)

TABLES = [
    *(
        Table("torch", work, threads, _EAGER)
        for work in (
            Work("resnet18", 32, 64),
            Work("resnet18", 32, 64, channels_last=True),
            Work("resnet50", 16, 112),
            Work("mobilenet_v2", 16, 112),
        )
        for threads in (1, 2)
    ),
    Table("torch", Work("resnet18", 32, 64, compiler="torch.compile"), 2, _COMPILED),
    Table("gluon", Work("resnet18_v1b", 16, 64), 1, (OURS, OURS + WITHOUT)),
    Table("keras", Work("resnet18", 32, 32), 1, (OURS, OFFICIAL)),
]
