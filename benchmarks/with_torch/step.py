"""Training steps of PyTorch networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.frame.timing import Step
from benchmarks.subjects.work import Work
from benchmarks.with_torch.family import FAMILY
from benchmarks.with_torch.networks import NETWORKS
from benchmarks.with_torch.peers import PEERS
from doconv_torch import OptimizerDOConv

AT_OPTIMIZER = "DO-Conv, at the optimizer"


def ways(work: Work) -> tuple[str, ...]:
    """The ways of training that are compared."""
    if work.network == "family":
        return tuple(FAMILY)
    ours, *others = PEERS
    return ("plain", ours, AT_OPTIMIZER, *others)


def network(work: Work) -> nn.Module:
    """The plain network; always the same."""
    torch.manual_seed(0)
    return FAMILY["plain"]() if work.network == "family" else NETWORKS[work.network]()


def step(work: Work, way: str) -> Step:
    """A training step; every way of training starts from the same network."""
    model = network(work)
    if work.network == "family":
        torch.manual_seed(0)
        model = FAMILY[way]()
    memory_format = torch.channels_last if work.channels_last else torch.contiguous_format
    model = PEERS.get(way, lambda same: same)(model.to(memory_format=memory_format))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    if way == AT_OPTIMIZER:
        OptimizerDOConv(model, optimizer)
    images = torch.randn(work.batch, 3, work.size, work.size).to(memory_format=memory_format)
    labels = torch.randint(0, 10, (work.batch,))
    batches = list(zip(images.chunk(work.micro_batches), labels.chunk(work.micro_batches),
                       strict=True))  # fmt: skip
    run = torch.compile(model) if work.compiler else model

    def train() -> None:
        for x, y in batches:
            cross_entropy(run(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return train
