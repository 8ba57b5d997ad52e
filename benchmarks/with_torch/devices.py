"""Where PyTorch computes: a device's name and clock, and precision."""

from __future__ import annotations

import torch

from benchmarks.frame.timing import Clock, Step, on_the_wall


def name(device: str) -> str:
    """As its maker calls it.

    Raises:
        ImportError: there is none, or torch was built without it.
    """
    if not torch.cuda.is_available():
        raise ImportError("this torch finds no CUDA device")
    return torch.cuda.get_device_name(device)


def clock(device: str) -> Clock:
    """The device's own: a call returns before its work is done."""
    return _by_events if device == "cuda" else on_the_wall


def _by_events(step: Step, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


def precision(device: str, half: bool) -> torch.autocast:
    """Autocast to bfloat16, where it is asked for."""
    return torch.autocast(device, torch.bfloat16, enabled=half)
