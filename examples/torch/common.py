"""What the three recipes share: options, batches, the loop that can be interrupted, the end.

All that is random in a step (order, augmentation, dropout) follows from ``--seed`` and the step's
number, so a run that was interrupted goes on exactly as if it had not been.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from examples import names
from examples.names import Names

MAY_DIFFER = ("data", "output", "workers", "device", "save_every", "steps")
"""Options that a run may be continued with another value of."""


def options(
    description: str, network: str, networks: Names, stages: tuple[str, ...]
) -> argparse.ArgumentParser:
    """Those that every recipe has."""
    parser = argparse.ArgumentParser(
        description=description, epilog=names.listed(networks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    known = partial(names.known, networks)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER")
    add("--output", type=Path, default=Path("runs/torch"), help="checkpoint, log and results")
    add("--network", type=known, default=network, help=f"by default {network}")
    add("--do-conv", choices=stages, default="all", help="which convolutions; by default all")
    add("--D-mul", type=int, help="columns of W; by default the kernel's elements")
    add("--at-optimizer", action="store_true", help="over-parameterize the training, not layers")
    add("--weights", type=Path, help="a plain network's state to begin with, such as folded.pt")
    add("--epochs", type=int, help="by default those of torchvision's reference script")
    add("--steps", type=int, help="end after so many; 0 evaluates only")
    add("--batch-size", type=int, help="of each process; by default the reference script's")
    add("--lr", type=float, help="by default the reference script's, scaled to the whole batch")
    add("--weight-decay", type=float, help="by default the reference script's")
    add("--ema", type=float, metavar="DECAY", help="train, and at last fold, a moving average too")
    add("--bf16", action="store_true", help="autocast to bfloat16")
    add("--channels-last", action="store_true")
    add("--workers", type=int, default=8, help="processes that read images; by default 8")
    add("--seed", type=int, default=0)
    add("--save-every", type=int, default=1000, metavar="STEPS", help="by default 1000")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def settle(args: argparse.Namespace, settings: dict[str, Any], images: int) -> None:
    """Fill in what was not given. ``settings`` hold for ``images`` images a step."""
    given = args.lr
    for name, value in settings.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    if given is None:
        args.lr *= args.batch_size * int(os.environ.get("WORLD_SIZE", "1")) / images
    args.output.mkdir(parents=True, exist_ok=True)


def begin(args: argparse.Namespace, network: nn.Module) -> nn.Module:
    """With the weights that were given, strictly."""
    if args.weights:
        network.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    return network


def no_data(rule: str, received: Path) -> NoReturn:
    """End with what was expected where."""
    raise SystemExit(f"No data: {rule} Received: --data={received}.")


# --- processes, as torchrun starts them


def start(args: argparse.Namespace) -> torch.device:
    """Join the others, if there are any; the device of this process."""
    torch.manual_seed(args.seed)
    if "RANK" not in os.environ:
        return torch.device(args.device)
    if args.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
    return torch.device(args.device)


def rank_and_size() -> tuple[int, int]:
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def summed(values: Tensor) -> Tensor:
    """Over all processes."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


# --- data


class Seeded(Dataset[Any]):
    """Examples by (index, seed): augmented by the random numbers of that seed."""

    def __init__(self, examples: Dataset[Any]) -> None:
        self.examples = examples

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            return self.examples[index]


class Batches(Sampler[list[tuple[int, int]]]):
    """This process's batches, as keys of :class:`Seeded`, of the steps from ``first`` on.

    Args:
        groups: a number for each example; a batch holds examples of one number only.
    """

    def __init__(self, args: Any, count: int, groups: Tensor | None = None, first: int = 0) -> None:
        self.rank, self.size = rank_and_size()
        self.per_epoch = count // (args.batch_size * self.size)
        if not self.per_epoch:
            raise SystemExit(
                f"A batch of {args.batch_size} needs as many images; there are {count}."
            )
        self.args, self.count, self.groups, self.first = args, count, groups, first
        self.steps = args.epochs * self.per_epoch if args.steps is None else args.steps

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = -1
        for step in range(self.first, self.steps):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                batches = self._epoch(epoch)
            seed = (self.args.seed << 32) + epoch * self.count
            indices = batches[step % self.per_epoch * self.size + self.rank].tolist()
            yield [(index, seed + index) for index in indices]

    def _epoch(self, epoch: int) -> Tensor:
        """All of an epoch's batches, of all processes."""
        generator = torch.Generator().manual_seed(self.args.seed + epoch)
        order = torch.randperm(self.count, generator=generator)
        whole = self.per_epoch * self.size * self.args.batch_size
        if self.groups is None:
            return order[:whole].view(-1, self.args.batch_size)
        # Neighbours in the order of groups; only where two groups meet is a batch of both.
        order = order[self.groups[order].sort(stable=True).indices][:whole]
        batches = order.view(-1, self.args.batch_size)
        return batches[torch.randperm(len(batches), generator=generator)]


def evaluation_loader(
    args: argparse.Namespace, examples: Any, batch_size: int = 0, collate: Any = None
) -> Any:
    """This process's share of the examples, in their order."""
    rank, size = rank_and_size()
    share = torch.utils.data.Subset(examples, range(rank, len(examples), size))
    return DataLoader(
        share, batch_size or args.batch_size, num_workers=args.workers, collate_fn=collate
    )


# --- the loop


def train(
    args: argparse.Namespace,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Any,
    *,
    loss: Callable[[nn.Module, Any], Tensor],
    rate: Callable[[float], float],
    evaluate: Callable[[nn.Module], dict[str, float]],
    groups: Tensor | None = None,
    collate: Any = None,
) -> nn.Module:
    """Train, or go on from ``OUTPUT/checkpoint.pt``; the network (or its average) to be folded.

    ``loss`` is of a network and a batch, ``rate`` the factor of the learning rate after so many
    epochs; what ``evaluate`` finds after each epoch goes to ``OUTPUT/log.jsonl``.
    """
    average = args.ema and AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(args.ema), use_buffers=True
    )
    parts = {"model": model, "optimizer": optimizer, **({"average": average} if average else {})}
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    first = _load(args, parts)
    rank, size = rank_and_size()
    gpus = [torch.cuda.current_device()] if args.device == "cuda" else None
    network = nn.parallel.DistributedDataParallel(model, gpus) if size > 1 else model
    batches = Batches(args, len(examples), groups, first)
    loader = DataLoader(
        Seeded(examples), batch_sampler=batches, num_workers=args.workers, collate_fn=collate
    )
    bar = tqdm(loader, total=batches.steps, initial=first, disable=rank > 0, unit="step")
    with _interruptible() as stop:
        for step, batch in enumerate(bar, first):
            torch.manual_seed((args.seed << 32) + step * size + rank)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate(step / batches.per_epoch)
            network.train()
            with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
                value = loss(network, batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if average:
                average.update_parameters(model)
            done = step + 1
            if done % 20 == 0:  # a GPU must be waited for to be read
                bar.set_postfix(loss=f"{value.item():.3f}", refresh=False)
            # All processes stop after the same step.
            asked = summed(torch.tensor(len(stop), device=args.device)) if size > 1 else len(stop)
            if asked and done < batches.steps:
                _save(args, parts, done)
                raise SystemExit(
                    f"Interrupted after {done} of {batches.steps} steps; the same command goes on."
                )
            if done % args.save_every == 0 or done == batches.steps:
                _save(args, parts, done)
            if done % batches.per_epoch == 0 and done < batches.steps:
                metrics = evaluate(average.module if average else model)
                _log(args, {"epoch": done // batches.per_epoch, **metrics})
    return average.module if average else model


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C, or a cluster's SIGTERM, asks the run to end."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: asked.append(1)) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _described(args: argparse.Namespace) -> dict[str, str]:
    said = {name: str(value) for name, value in vars(args).items() if name not in MAY_DIFFER}
    return {**said, "processes": str(rank_and_size()[1])}


def _save(args: argparse.Namespace, parts: dict[str, Any], step: int) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    if rank_and_size()[0] == 0:
        _write({**state, "step": step, "options": _described(args)}, args.output / "checkpoint.pt")


def _write(state: Any, path: Path) -> None:
    """Whole, or not at all."""
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _load(args: argparse.Namespace, parts: dict[str, Any]) -> int:
    """The step to go on from."""
    path = args.output / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location=args.device, weights_only=True)
    ours = _described(args)
    other = [f"{name}={old}" for name, old in state["options"].items() if ours.get(name) != old]
    if other:
        raise SystemExit(
            f"{path} is of a run with {', '.join(other)}. Use its options, or another --output."
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def _log(args: argparse.Namespace, line: dict[str, Any]) -> None:
    if rank_and_size()[0] == 0:
        with (args.output / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


# --- the end


def finish(args: argparse.Namespace, deployed: nn.Module, result: dict[str, Any]) -> dict[str, Any]:
    """Save the folded network's state; its results, printed as a line of JSON."""
    path = args.output / "folded.pt"
    result = {
        "network": args.network,
        "do_conv": args.do_conv,
        "D_mul": args.D_mul,
        "at_optimizer": args.at_optimizer,
        "seed": args.seed,
        **result,
        "file": str(path),
    }
    if rank_and_size()[0] == 0:
        _write(deployed.cpu().state_dict(), path)
        (args.output / "result.json").write_text(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()
    return result
