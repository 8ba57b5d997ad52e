"""Training the family in PyTorch, for :mod:`benchmarks.accuracy`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from benchmarks.with_torch.family import FAMILY
from doconv_cli.demo.experiment import Digits
from doconv_torch import fold, summary

WAYS = tuple(FAMILY)
BATCH, LEARNING_RATE, MOMENTUM = 32, 0.02, 0.9


def train(way: str, data: Digits, *, seed: int, epochs: int, width: int) -> NDArray[np.float64]:
    """Train one network; the test images' accuracy in percent after each epoch."""
    torch.manual_seed(seed)
    model = FAMILY[way](1, width)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    order = np.random.default_rng(seed)  # the same batches for every way
    images, labels, test_images, test_labels = map(
        torch.from_numpy,
        (data.train_images, data.train_labels, data.test_images, data.test_labels),
    )
    accuracy = np.zeros(epochs)
    for epoch in range(epochs):
        model.train()
        for batch in torch.from_numpy(order.permutation(len(images))).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.inference_mode():
            right = model(test_images).argmax(1) == test_labels
        accuracy[epoch] = 100 * right.float().mean()
    return accuracy


def cost(way: str, width: int) -> tuple[int, int]:
    """Parameters, and multiply-accumulates for an image, of the deployed convolutions."""
    rows = summary(fold(FAMILY[way](1, width)), torch.zeros(1, 1, 8, 8))
    parameters = [row.parameters[2] for row in rows if row.parameters]
    macs = [row.macs[2] for row in rows if row.macs]
    return sum(parameters), sum(macs)
