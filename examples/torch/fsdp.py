"""Sharded training (FSDP2): convert, then shard; save and resume the shards; gather, then fold.

    torchrun --nproc-per-node 2 examples/torch/fsdp.py [--folder fsdp] [--resume fsdp/1]

Over NCCL where there is a GPU for each process, else over gloo. W and D of a layer are sharded like
every other parameter, so a process alone cannot compose its kernels, and fold() of the sharded
model is refused, in words that this script prints. The way out is at its end: gather the state
into an unsharded model in one process, and fold that.

After every epoch FOLDER has a checkpoint, to resume from with any number of processes; at the end,
``model.pt`` with the gathered state and ``deployed.pt`` with the folded one.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from doconv_torch import convert, fold

BATCH = 64
"""Images of a step, of all processes together."""


def network() -> nn.Sequential:
    """A small classifier, the same in every process; every block becomes a group of shards."""

    def block(inputs: int, outputs: int, *geometry: int, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, 3, *geometry, groups=groups)
        return nn.Sequential(conv, nn.GroupNorm(4, outputs), nn.ReLU())

    torch.manual_seed(0)
    return nn.Sequential(
        block(1, 16, 1, 1), block(16, 16, 1, 1, groups=16), block(16, 32, 2),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )  # fmt: skip


def digits(device: torch.device) -> tuple[Tensor, Tensor]:
    """Real images of digits, (N, 1, 8, 8), and their classes."""
    images, classes = load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16
    return x.to(device), torch.from_numpy(classes).to(device)


def train_epoch(
    model: FSDPModule, optimizer: torch.optim.Optimizer, epoch: int, accumulate: int,
    device: torch.device,
) -> float:  # fmt: skip
    """Every process takes its share of each batch, in micro-batches; the last loss."""
    x, classes = digits(device)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
    for batch in order.split(BATCH)[:-1]:
        optimizer.zero_grad()
        shares = batch[rank::world].chunk(accumulate)
        for number, share in enumerate(shares, 1):
            model.set_requires_gradient_sync(number == len(shares))  # as DDP's no_sync()
            loss = nn.functional.cross_entropy(model(x[share]), classes[share])
            (loss / accumulate).backward()
        optimizer.step()
    return loss.item()


def states(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, object]]:
    """What a checkpoint holds: each process gives and takes its own shards."""
    of_model, of_optimizer = get_state_dict(model, optimizer)
    return {"model": of_model, "optimizer": of_optimizer}


def gathered(model: nn.Module) -> nn.Module | None:
    """The whole model, in the first process; all must call this."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    if distributed.get_rank() != 0:
        return None
    whole = convert(network())
    whole.load_state_dict(state)
    return whole.eval()


def digest(model: nn.Module) -> str:
    """Of all weights, to the bit."""
    arrays = [p.detach().numpy().tobytes() for p in model.state_dict().values()]
    return hashlib.sha256(b"".join(arrays)).hexdigest()[:16]


def train(
    device: torch.device, *, epochs: int = 2, accumulate: int = 2, folder: Path = Path("fsdp"),
    resume: Path | None = None,
) -> None:  # fmt: skip
    """Train in this process, which is one of several."""
    rank = distributed.get_rank()
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))

    model = convert(network()).to(device)  # before it is sharded
    for block in model:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    first = 1
    if resume is not None:
        found = states(model, optimizer)
        checkpoint.load(found, checkpoint_id=resume)
        set_state_dict(
            model, optimizer,
            model_state_dict=found["model"], optim_state_dict=found["optimizer"],
        )  # fmt: skip
        first = int(resume.name) + 1
    for epoch in range(first, epochs + 1):
        loss = train_epoch(model, optimizer, epoch, accumulate, device)
        checkpoint.save(states(model, optimizer), checkpoint_id=folder / str(epoch))
        print(f"epoch {epoch}, process {rank}: loss {loss:.3f}", flush=True)

    try:
        fold(model)
    except ValueError as refused:
        print(f"process {rank}: {refused}", flush=True)
    whole = gathered(model)
    if whole is not None:
        deployed = fold(whole)
        torch.save(whole.state_dict(), folder / "model.pt")
        torch.save(deployed.state_dict(), folder / "deployed.pt")
        print(f"weights {digest(whole)}, deployed {digest(deployed)}", flush=True)


def main(**options: Any) -> None:
    """Join the other processes, train, and leave them."""
    local = int(os.environ["LOCAL_RANK"])
    gpu = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        train(device, **options)
    finally:
        # What DDP or FSDP hold of the group has to go first: a gloo group that dies with a
        # wrapper (torch 2.13) may wait for ever for Python's lock, which its last owner holds.
        gc.collect()
        distributed.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=2, help="micro-batches of a step")
    parser.add_argument("--folder", type=Path, default=Path("fsdp"))
    parser.add_argument("--resume", type=Path, help="a checkpoint, such as fsdp/1")
    main(**vars(parser.parse_args()))
