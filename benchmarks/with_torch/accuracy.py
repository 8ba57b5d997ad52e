"""One run of a study in PyTorch."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.accuracy import order
from benchmarks.accuracy.data.images import Data, Part
from benchmarks.accuracy.run import Outcome, Recipe, Run, outcome
from benchmarks.with_torch.arms import ARMS
from benchmarks.with_torch.classifiers import CLASSIFIERS


def train(run: Run, recipe: Recipe, data: Data, device: str = "cpu") -> Outcome:
    """Train one network, on one thread; of a GPU too, every operation is deterministic."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(run.seed)
    model = CLASSIFIERS[run.network](data.training.images.shape[1], data.classes).to(device)
    model, optimizer = ARMS[run.arm](model, run.rate, recipe)
    images, labels = (torch.from_numpy(array).to(device) for array in data.training)
    steps = run.epochs * -(-len(labels) // recipe.batch)
    schedule = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        if recipe.schedule == "cosine"
        else None
    )
    losses: list[float] = []
    validation: list[float] = []
    for indices in order.epochs(run, recipe):
        model.train()
        total = torch.zeros((), device=device)
        for batch in torch.from_numpy(indices).to(device).split(recipe.batch):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            if schedule:
                schedule.step()
            total += loss.detach() * len(batch)
        if not torch.isfinite(total):
            break
        losses.append(float(total) / len(labels))
        if len(data.validation.labels):
            validation.append(accuracy(model, data.validation))
    return outcome(run, losses, validation, accuracy(model, data.test), data.classes)


@torch.no_grad()
def accuracy(model: nn.Module, part: Part) -> float:
    """Percentage of the images classified correctly."""
    model.eval()
    device = next(model.parameters()).device
    images = torch.from_numpy(part.images).to(device).split(1000)
    classes = torch.cat([model(batch).argmax(1) for batch in images])
    return 100 * float(np.mean(classes.cpu().numpy() == part.labels))


def name_of(device: str) -> str:
    """What a record calls a device other than the processor."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
