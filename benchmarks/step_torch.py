"""Training steps of PyTorch networks, for :mod:`benchmarks.step_time`."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.networks_torch import NETWORKS
from benchmarks.peers_torch import PEERS
from benchmarks.timing import Step
from benchmarks.work import Work
from doconv_torch import OptimizerDOConv

AT_OPTIMIZER = "DO-Conv, at the optimizer"


def steps(work: Work) -> dict[str, Step]:
    """A step of plain training, of ours and of each peer, all from the same start."""
    torch.manual_seed(0)
    plain = NETWORKS[work.network]()
    memory_format = torch.channels_last if work.channels_last else torch.contiguous_format
    plain = plain.to(memory_format=memory_format)
    images = torch.randn(work.batch, 3, work.size, work.size).to(memory_format=memory_format)
    labels = torch.randint(0, 1000, (work.batch,))
    models = {"plain": copy.deepcopy(plain)}
    models |= {name: peer(copy.deepcopy(plain)) for name, peer in PEERS.items()}
    models[AT_OPTIMIZER] = copy.deepcopy(plain)
    return {name: _step(name, model, images, labels, work) for name, model in models.items()}


def _step(
    name: str, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, work: Work
) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    if name == AT_OPTIMIZER:
        OptimizerDOConv(model, optimizer)
    run = torch.compile(model) if work.compiled else model

    def step() -> None:
        optimizer.zero_grad()
        for x, y in zip(
            images.chunk(work.micro_batches), labels.chunk(work.micro_batches), strict=True
        ):
            cross_entropy(run(x), y).backward()
        optimizer.step()

    return step


def version() -> str:
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"
