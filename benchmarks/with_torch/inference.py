"""What a PyTorch network is made of, and its prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.profiler import ProfilerActivity, profile

import doconv_torch as adapter
from benchmarks.subjects.work import Work
from benchmarks.with_torch import devices, step
from benchmarks.with_torch.step import clock

__all__ = ["adapter", "arrays", "clock", "images", "modules", "network", "operators", "predict"]


def images(work: Work) -> torch.Tensor:
    """A batch, in the precision that the work is done in."""
    x = torch.randn(work.batch, 3, work.size, work.size)
    return x.to(work.device, getattr(torch, work.dtype), memory_format=_format(work))


def network(work: Work) -> nn.Module:
    """The plain network; always the same."""
    return step.network(work).to(work.device, memory_format=_format(work))


def _format(work: Work) -> torch.memory_format:
    return torch.channels_last if work.channels_last else torch.contiguous_format


@torch.inference_mode()
def predict(net: nn.Module, x: torch.Tensor) -> NDArray[np.float32]:
    """In evaluation mode."""
    with devices.precision(x.device.type, x.dtype == torch.bfloat16):
        outputs: NDArray[np.float32] = net.eval()(x).float().cpu().numpy()
    return outputs


def modules(net: nn.Module) -> list[str]:
    """The class of each module."""
    return [f"{type(each).__module__}.{type(each).__name__}" for each in net.modules()]


def operators(net: nn.Module, x: torch.Tensor) -> list[Any]:
    """What is executed, and on which shapes."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        predict(net, x)
    return [(event.name, event.input_shapes) for event in profiler.events()]


def arrays(net: nn.Module) -> list[Any]:
    """Name, shape and bytes of each array in its state."""
    return [(name, tuple(a.shape), a.nbytes) for name, a in net.state_dict().items()]
