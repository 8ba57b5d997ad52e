"""Every network of the zoos: convert, train a step, fold, and load into the untouched network.

python -m tests.zoo.torch REPORT [--all] [--only WORD]

Each network gets a row in a table of comma-separated values. The program fails where a row does.
"""

from __future__ import annotations

import argparse
import csv
import gc
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from doconv_torch import convert, fold, summary
from tests.zoo.torch_networks import HUGE, Network, networks

NEAR = 1e-4
"""How far, relative to the largest output, folding may move a float32 network."""


@dataclass
class Row:
    """What became of one network.

    Attributes:
        zoo: the library.
        name: the network.
        result: "ok", "nothing to convert", "too large", or what went wrong.
        parameters: of the plain network.
        convolutions: how many it has.
        converted: how many of them are over-parameterized.
        left: reasons why the rest is not, with counts.
        unchanged: the largest difference that converting made to an output; must be 0.
        moved: how many of the D's one step of training moved.
        folded: the largest difference that folding made, relative to the largest output.
        nudged: the same, of the converted network when the last digits of its input are changed.
        reloaded: the largest one between the folded network and the untouched one that has loaded
            its state, strictly; must be 0.
        seconds: for everything.
    """

    zoo: str
    name: str
    result: str = ""
    parameters: int = 0
    convolutions: int = 0
    converted: int = 0
    left: str = ""
    unchanged: float = 0
    moved: int = 0
    folded: float = 0
    nudged: float = 0
    reloaded: float = 0
    seconds: float = 0


def examine(network: Network) -> Row:
    """One network's row."""
    row, start = Row(network.zoo, network.name), time.perf_counter()
    try:
        _examine(network, row)
    except Exception as error:
        traceback.print_exc()
        row.result = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row.seconds = round(time.perf_counter() - start, 1)
    gc.collect()
    return row


def _examine(network: Network, row: Row) -> None:
    row.parameters = _parameters(network)
    if row.parameters > HUGE:
        row.result = "too large"
        return
    torch.manual_seed(0)
    model = network.make().eval()
    _make_random(model)
    x = network.inputs()
    y = _run(model, x)

    converted = convert(model)
    rows = summary(converted)
    row.convolutions, row.converted = len(rows), len(rows.converted)
    reasons = [each.reason for each in rows if each.reason]
    row.left = "; ".join(f"{reasons.count(each)} {each}" for each in sorted(set(reasons)))
    row.unchanged = _difference(_run(converted, x), y)
    if not row.converted:
        row.result = "nothing to convert"
        return

    D = [p for name, p in converted.named_parameters() if name.endswith(".D")]
    _train_a_step(converted, x)
    row.moved = sum(bool(each.any()) for each in D)
    before = _run(converted, x)
    for each in D:
        nn.init.normal_(each, std=0.05)

    folded, trained = fold(converted), _run(converted, x)
    largest = max(float(each.abs().max()) for each in trained)
    row.folded = _difference(_run(folded, x), trained) / largest
    # An untrained network may amplify rounding; then its own rounding is what counts.
    nudged = [each * (1 + 1e-6) for each in x]
    row.nudged = _difference(_run(converted, nudged), trained) / largest
    untouched = network.make().eval()
    untouched.load_state_dict(folded.state_dict())
    row.reloaded = _difference(_run(untouched, x), _run(folded, x))

    faults = {
        "convert changed it": row.unchanged != 0,
        f"{len(D) - row.moved} D's did not move": row.moved < len(D),
        "D makes no difference": _difference(before, trained) == 0,
        "fold changed it": not row.folded < max(NEAR, 2 * row.nudged),
        "the untouched one differs": row.reloaded != 0,
    }
    row.result = ", ".join(fault for fault, found in faults.items() if found) or "ok"


def _parameters(network: Network) -> int:
    """How many, without memory for them where the network's constructor allows that."""
    try:
        with torch.device("meta"):
            model = network.make()
    except (NotImplementedError, RuntimeError):  # it computes something with tensors
        model = network.make()
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def _make_random(model: nn.Module) -> None:
    """Parameters that start as zeros, or next to it, would hide what lies behind them."""
    for parameter in model.parameters():
        if parameter.numel() and parameter.abs().max() < 1e-3:
            parameter.add_(0.1 * torch.randn_like(parameter))


def _run(model: nn.Module, x: Sequence[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)  # some draw in evaluation too
    with torch.no_grad():
        return _tensors(model(*x))


def _tensors(outputs: Any) -> list[Tensor]:
    """Those among nested outputs that a loss could be of."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if not isinstance(outputs, Sequence):
        return []
    return [each for output in outputs for each in _tensors(output)]


def _difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """A NaN anywhere is one here, and fails whatever it is compared with."""
    differences = [(a - b).abs().max() for a, b in zip(ours, theirs, strict=True)]
    return float(torch.stack(differences).max())


def _train_a_step(model: nn.Module, x: Sequence[Tensor]) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    torch.manual_seed(1)
    # An untrained network's outputs may be 1e12: relative to them, its weights survive the step.
    outputs = [y / y.detach().abs().max() for y in _tensors(model(*x))]
    torch.stack([(y * torch.randn_like(y)).mean() for y in outputs]).sum().backward()
    optimizer.step()


def main() -> int:
    """Write the report; the exit status says whether a network failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--all", action="store_true", help="every member of each family")
    parser.add_argument("--only", default="", help="a part of the names")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    with given.report.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        for network in networks(everything=given.all):
            if given.only not in f"{network.zoo} {network.name}":
                continue
            row = examine(network)
            table.writerow(asdict(row))
            file.flush()
            sys.stdout.write("  ".join(map(str, asdict(row).values())) + "\n")
            sys.stdout.flush()
            failed += row.result not in ("ok", "nothing to convert", "too large")
    sys.stdout.write(f"{failed} failed\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
