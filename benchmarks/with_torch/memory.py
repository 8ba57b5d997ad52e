"""Peak memory of a PyTorch training step, exactly: of the processor's or of a device's."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.frame.timing import Step
from doconv_torch.tensors import memory

MEASURED = "the step that is measured"


def peak_of_device(training: Callable[[], Step]) -> int:
    """As :func:`peak`, by the device's own account."""
    train = training()
    for _ in range(2):
        train()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    train()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def peak(training: Callable[[], Step]) -> int:
    """Most bytes that tensors hold at once in a step: parameters, momentum and all between.

    The profiler notes every allocation and release of torch's own allocator, from before the
    network is built, so their running sum is what is held; no page or cache is in it. The arrays
    that our layers keep are NumPy's, which it does not see: they are added, whole.

    Args:
        training: builds the network and returns its training step.
    """
    made = []
    make = memory._aligned
    counted = patch.object(memory, "_aligned", lambda size: made.append(size) or make(size))
    with counted, profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train = training()
        for _ in range(2):
            train()
        with record_function(MEASURED):
            train()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = profiler.profiler.kineto_results.events()
    (start,) = (event.start_ns() for event in events if event.name() == MEASURED)
    changes = ((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = highest = 0
    for time, change in sorted(changes, key=lambda change: change[0]):
        held += change
        if time >= start:
            highest = max(highest, held)
    return highest + sum(made)
