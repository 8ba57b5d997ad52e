"""Training steps of PyTorch networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.frame.timing import Clock, Step
from benchmarks.subjects.work import Work
from benchmarks.with_torch import devices
from benchmarks.with_torch.family import FAMILY
from benchmarks.with_torch.networks import NETWORKS
from benchmarks.with_torch.peers import PEERS
from doconv_core.native import products
from doconv_torch import OptimizerDOConv

AT_OPTIMIZER = "DO-Conv, at the optimizer"
WITHOUT = ", no native kernel"
"""How the name of a way ends that goes without it, if there is one."""


def ways(work: Work) -> tuple[str, ...]:
    """The ways of training that are compared."""
    if work.network == "family":
        return tuple(FAMILY)
    ours, *others = PEERS
    mine = [ours, AT_OPTIMIZER]
    if products.is_available() and work.device == "cpu":
        # Compiled layers are the compiler's, with or without it.
        mine += [f"{way}{WITHOUT}" for way in mine if way != ours or not work.compiler]
    return ("plain", *mine, *others)


def clock(work: Work) -> Clock:
    """What seconds are taken with."""
    return devices.clock(work.device)


def network(work: Work) -> nn.Module:
    """The plain network; always the same."""
    torch.manual_seed(0)
    return FAMILY["plain"]() if work.network == "family" else NETWORKS[work.network]()


def step(work: Work, way: str) -> Step:
    """A training step; every way of training starts from the same network."""
    train = _step(work, way.removesuffix(WITHOUT))
    if not way.endswith(WITHOUT):
        return train

    def train_without() -> None:
        with products.unused():
            train()

    return train_without


def _step(work: Work, way: str) -> Step:
    model = network(work)
    if work.network == "family":
        torch.manual_seed(0)
        model = FAMILY[way]()
    memory_format = torch.channels_last if work.channels_last else torch.contiguous_format
    model = model.to(device=work.device, memory_format=memory_format)
    model = PEERS.get(way, lambda same: same)(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    if way == AT_OPTIMIZER:
        OptimizerDOConv(model, optimizer)
    images = torch.randn(work.batch, 3, work.size, work.size)
    images = images.to(device=work.device, memory_format=memory_format)
    labels = torch.randint(0, 10, (work.batch,)).to(work.device)
    batches = list(zip(images.chunk(work.micro_batches), labels.chunk(work.micro_batches),
                       strict=True))  # fmt: skip
    run = torch.compile(model) if work.compiler else model

    def train() -> None:
        for x, y in batches:
            with devices.precision(work.device, work.dtype == "bfloat16"):
                loss = cross_entropy(run(x), y)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return train
