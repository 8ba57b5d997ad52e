"""Networks of torchvision and timm: convert, train a step, fold, load.

python -m tests.zoo.torch REPORT [--all] [--only WORD] [--resume]

The report is a table of comma-separated values (:mod:`tests.zoo.report`). Nothing is downloaded.
The program fails where a row does.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from doconv_torch import convert, fold, summary
from tests.zoo.examination import Zoo
from tests.zoo.report import main
from tests.zoo.torch_networks import HUGE, Network, networks


class PyTorch(Zoo):
    """How networks of PyTorch are run, trained and saved."""

    packages = ("torch", "torchvision", "timm", "numpy")

    def networks(self, given: Any) -> Iterable[Network]:
        return networks(everything=given.all)

    def make(self, network: Network) -> nn.Module:
        if (parameters := _parameters(network)) > HUGE:
            raise MemoryError(f"{parameters} parameters")
        torch.manual_seed(0)
        return network.make().eval()

    def inputs(self, network: Network, model: Any, random: np.random.Generator) -> Any:
        return network.inputs()

    @torch.no_grad()
    def randomize(self, model: nn.Module, random: np.random.Generator) -> None:
        for parameter in model.parameters():
            if parameter.numel() and parameter.abs().max() < 1e-3:
                parameter.add_(0.1 * torch.randn_like(parameter))

    def run(self, model: nn.Module, x: Sequence[Tensor]) -> list[np.ndarray]:
        torch.manual_seed(1)  # some draw in evaluation too
        with torch.no_grad():
            return [each.numpy() for each in _tensors(model(*x))]

    def train(self, network: Network, model: nn.Module, x: Sequence[Tensor]) -> None:
        optimizer = torch.optim.SGD(model.parameters(), 1e-4)
        torch.manual_seed(1)
        # An untrained network's outputs may be 1e12: relative to them, its weights survive it.
        outputs = [y / y.detach().abs().max() for y in _tensors(model(*x))]
        torch.stack([(y * torch.randn_like(y)).mean() for y in outputs]).sum().backward()
        optimizer.step()

    def convert(self, network: Network, model: nn.Module, row: Any) -> nn.Module:
        return convert(model)

    def fold(self, model: nn.Module) -> nn.Module:
        return fold(model)

    def summary(self, model: nn.Module) -> Any:
        return summary(model)

    def pairs(self, model: nn.Module) -> list[tuple[Any, Any]]:
        parameters = dict(model.named_parameters())
        names = [name.removesuffix("D") for name in parameters if name.endswith(".D")]
        return [
            (parameters[f"{name}weight"], parameters[f"{name}D"])
            for name in names
            if f"{name}weight" in parameters  # state space layers have a D of their own
        ]

    def variables(self, model: nn.Module) -> list[Any]:
        return list(model.parameters())

    def read(self, variable: Tensor) -> np.ndarray:
        return variable.detach().numpy().copy()

    @torch.no_grad()
    def write(self, variable: Tensor, value: np.ndarray) -> None:
        variable.copy_(torch.from_numpy(np.asarray(value)))

    def reload(self, network: Network, folded: nn.Module, folder: str) -> nn.Module:
        path = Path(folder) / "folded.pt"
        torch.save(folded.state_dict(), path)
        untouched = network.make().eval()
        untouched.load_state_dict(torch.load(path))
        return untouched


def _parameters(network: Network) -> int:
    """How many, without memory for them where the network's constructor allows that."""
    try:
        with torch.device("meta"):
            model = network.make()
    except (NotImplementedError, RuntimeError):  # it computes something with tensors
        model = network.make()
    return sum(p.numel() for p in model.parameters())


def _tensors(outputs: Any) -> list[Tensor]:
    """Those among nested outputs that a loss could be of."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if not isinstance(outputs, Sequence):
        return []
    return [each for output in outputs for each in _tensors(output)]


def _choose(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="every member of each family")


if __name__ == "__main__":
    sys.exit(main(PyTorch(), __doc__, _choose))
