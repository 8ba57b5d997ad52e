"""Memory of one way of training, in a process of its own: what :mod:`benchmarks.memory` runs.

python -m benchmarks.frame.memory_child FRAMEWORK WORK_AS_JSON WAY
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.subjects.work import Work
from doconv_core.frameworks import FRAMEWORKS

ENVIRONMENT = {
    # glibc gives every array back to the system when it is freed, so that the pages that the
    # process holds are the arrays that are alive.
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_MMAP_MAX_": "1000000000",
    "MALLOC_ARENA_MAX": "1",
    # With oneDNN, TensorFlow 2.21 takes arrays from a pool of its own that only ever grows.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""What a process needs for :func:`resident_peak` to mean something."""


class Memory(NamedTuple):
    """Bytes.

    Attributes:
        peak: held at once in a training step, at most: parameters, momentum and all between.
        W: of the layers that conversion over-parameterizes.
    """

    peak: int
    W: int


def resident_peak(train: Callable[[], object], kept: Iterable[Any]) -> int:
    """The arrays kept between steps, and the most that a step adds to the process's pages.

    Args:
        train: a training step.
        kept: float32 arrays.

    Raises:
        OSError: the system is not Linux.
    """
    for _ in range(2):  # what is made once (compiled code, threads) is not the step's
        train()
    ctypes.CDLL(None).malloc_trim(0)
    resting = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    for _ in range(2):
        train()
    return sum(4 * math.prod(array.shape) for array in kept) + _status("VmHWM") - resting


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(key))
    return 1024 * int(line.split()[1])


def main(framework: str, work: Work, way: str) -> Memory:
    """Measure one way of training."""
    module = importlib.import_module(f"benchmarks.with_{framework}.step")
    if framework == "torch":
        from benchmarks.with_torch.memory import peak, peak_of_device

        measure = peak if work.device == "cpu" else peak_of_device
        highest = measure(lambda: module.step(work, way))
    else:
        highest = resident_peak(*module.training(work, way))
    adapter = importlib.import_module(FRAMEWORKS[framework].adapter)
    converted = adapter.summary(adapter.convert(module.network(work))).converted
    return Memory(highest, sum(4 * row.parameters[0] for row in converted))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Work(**json.loads(sys.argv[2])), sys.argv[3])._asdict()))
