"""Data-parallel training: convert, then wrap; accumulate, save, resume; fold at the end.

    torchrun --nproc-per-node 2 examples/torch/ddp.py [--folder ddp] [--resume ddp/1]
    torchrun --nproc-per-node 2 examples/torch/ddp.py --at-optimizer

Over NCCL where there is a GPU for each process, else over gloo. DistributedDataParallel lists the
parameters that it synchronizes when it is made, so D must be there: a wrapped model is refused by
convert(). With --at-optimizer the network stays plain, and any wrapper comes before or after.

After every epoch FOLDER has a checkpoint, to resume from with any number of processes; at the end,
``model.pt`` with the trained state and ``deployed.pt`` with the folded one. Each process prints a
digest of its weights: it is the same everywhere, or something was not synchronized.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.nn.parallel import DistributedDataParallel

from doconv_torch import OptimizerDOConv, convert, fold

BATCH = 64
"""Images of a step, of all processes together."""


def network(device: torch.device) -> nn.Module:
    """A small classifier, the same in every process."""
    # torch has SyncBatchNorm for accelerators only. On a CPU the norms are of one image each, so
    # that there too the number of processes makes no difference.
    norm = nn.BatchNorm2d if device.type == "cuda" else partial(nn.GroupNorm, 4)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), norm(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16), norm(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2), norm(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    return nn.SyncBatchNorm.convert_sync_batchnorm(model).to(device)


def digits(device: torch.device) -> tuple[Tensor, Tensor]:
    """Real images of digits, (N, 1, 8, 8), and their classes."""
    images, classes = load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16
    return x.to(device), torch.from_numpy(classes).to(device)


def train_epoch(
    model: DistributedDataParallel, optimizer: torch.optim.Optimizer, epoch: int, accumulate: int
) -> float:
    """Every process takes its share of each batch, in micro-batches; the last loss."""
    x, classes = digits(next(model.parameters()).device)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
    for batch in order.split(BATCH)[:-1]:
        optimizer.zero_grad()
        shares = batch[rank::world].chunk(accumulate)
        for share in shares[:-1]:
            with model.no_sync():  # D's gradient waits for the last micro-batch, as W's does
                (loss_of(model, x[share], classes[share]) / accumulate).backward()
        loss = loss_of(model, x[shares[-1]], classes[shares[-1]])
        (loss / accumulate).backward()
        optimizer.step()
    return loss.item()


def loss_of(model: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), classes)


class Checkpoint:
    """Model and optimizer in a folder."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, whole: bool) -> None:
        self.model, self.optimizer = model, optimizer
        # get_state_dict names an optimizer's state by the model's parameters, and at the optimizer
        # D is none of them. The optimizer's own state_dict() has it.
        self.whole = whole

    def save(self, folder: Path) -> None:
        """By all processes together; whole, by the first."""
        if not self.whole:
            checkpoint.save(self._parts(), checkpoint_id=folder)
        elif distributed.get_rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            states = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(states, folder / "whole.pt")

    def load(self, folder: Path) -> None:
        """Whatever the number of processes that saved it."""
        if self.whole:
            states = torch.load(folder / "whole.pt", weights_only=True)
            self.model.load_state_dict(states["model"])
            self.optimizer.load_state_dict(states["optimizer"])
        else:
            parts = self._parts()
            checkpoint.load(parts, checkpoint_id=folder)
            states = {"model_state_dict": parts["model"], "optim_state_dict": parts["optimizer"]}
            set_state_dict(self.model, self.optimizer, **states)

    def _parts(self) -> dict[str, dict[str, object]]:
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer}


def digest(model: nn.Module) -> str:
    """Of all weights, to the bit."""
    arrays = [p.detach().cpu().numpy().tobytes() for p in model.state_dict().values()]
    return hashlib.sha256(b"".join(arrays)).hexdigest()[:16]


def train(
    device: torch.device, *, epochs: int = 2, accumulate: int = 2, at_optimizer: bool = False,
    folder: Path = Path("ddp"), resume: Path | None = None,
) -> None:  # fmt: skip
    """Train in this process, which is one of several."""
    rank = distributed.get_rank()

    plain = network(device)
    model = plain if at_optimizer else convert(plain)  # before it is wrapped
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    if at_optimizer:
        OptimizerDOConv(model, optimizer)

    state, first = Checkpoint(wrapped, optimizer, whole=at_optimizer), 1
    if resume is not None:
        state.load(resume)
        first = int(resume.name) + 1
    for epoch in range(first, epochs + 1):
        loss = train_epoch(wrapped, optimizer, epoch, accumulate)
        state.save(folder / str(epoch))
        print(f"epoch {epoch}, process {rank}: loss {loss:.3f}", flush=True)

    # Every process has the whole model: any of them may fold it.
    deployed = fold(model.eval())
    if rank == 0:
        torch.save(model.state_dict(), folder / "model.pt")
        torch.save(deployed.state_dict(), folder / "deployed.pt")
    print(f"process {rank}: weights {digest(model)}, deployed {digest(deployed)}", flush=True)


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
    parser.add_argument("--at-optimizer", action="store_true", help="the network stays plain")
    parser.add_argument("--folder", type=Path, default=Path("ddp"))
    parser.add_argument("--resume", type=Path, help="a checkpoint, such as ddp/1")
    main(**vars(parser.parse_args()))
