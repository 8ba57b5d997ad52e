"""PyTorch's network of the soak."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from doconv_torch import convert, fold
from tests.soak.subject import Subject


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Predictions(Dataset[Tensor]):
    """What a network of the workers computes, as augmentations and teachers do."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 16

    def __getitem__(self, _: int) -> Tensor:
        with torch.inference_mode():
            return self.model(images()).clone()


class Network(Subject):
    array = torch.Tensor

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8),
            nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Flatten(), nn.Linear(576, 5),
        )  # fmt: skip
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9)
        convert(self.model, inplace=True, optimizer=self.optimizer)
        self.x, self.target = images(), torch.arange(4)

    def step(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.x), self.target).backward()
        self.optimizer.step()

    def cycle(self) -> None:
        fold(self.model, inplace=True)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9)
        self.step()
        convert(self.model, inplace=True, optimizer=self.optimizer)
        self.step()

    def control(self) -> None:
        self.step()
        self.step()

    def weights(self) -> bytes:
        return b"".join(p.detach().numpy().tobytes() for p in self.model.parameters())

    def predict(self) -> bytes:
        with torch.inference_mode():
            return self.model(self.x).numpy().tobytes()

    def loaders(self) -> Mapping[str, Callable[[], list[bytes]]]:
        return {f"workers, {way}": lambda way=way: self._loaded(way) for way in ("fork", "spawn")}

    def _loaded(self, way: str) -> list[bytes]:
        context = multiprocessing.get_context(way)
        loader = DataLoader(
            Predictions(self.model), batch_size=None, num_workers=2, multiprocessing_context=context
        )
        return [each.numpy().tobytes() for _ in range(3) for each in loader]
