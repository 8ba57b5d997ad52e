"""What D learns: the demo's network on scikit-learn's digits, its layers' I + D after training."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from style import D_COLOR, GREY, KERNEL_COLOR, W_COLOR, figure, heat, save
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from doconv_torch import DOConv2d

torch.manual_seed(0)
torch.set_num_threads(1)
images, labels = load_digits(return_X_y=True)
x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
y = torch.tensor(labels)

net = nn.Sequential(
    DOConv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    DOConv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 16, 10),
)  # fmt: skip
optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
for _ in range(15):
    for batch in torch.randperm(len(x)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()

first = net[0]
assert isinstance(first, DOConv2d)
assert first.D is not None
D = first.D[0].detach()
kernels = first.composed_kernel().detach()[:4, 0]
weights = first.weight.detach()[:4, 0]

picture = figure(9.0, 3.3)
axes = picture.add_axes((0.0, 0.07, 0.3, 0.8))
heat(axes, D, float(D.abs().max()), D_COLOR)
axes.set_title("D of the image channel", color=D_COLOR, fontsize=11, fontweight="bold")
axes.set_xlabel("element of W", fontsize=9)
axes.set_ylabel("element of the kernel", fontsize=9)
for row, (values, color, name) in enumerate(
    ((weights, W_COLOR, "weight (W)"), (kernels, KERNEL_COLOR, "kernel = W + D W"))
):
    for column, value in enumerate(values):
        axes = picture.add_axes((0.38 + column * 0.155, 0.53 - row * 0.48, 0.14, 0.34))
        heat(axes, value, float(kernels.abs().max()), color)
        if column == 0:
            axes.set_title(name, color=color, fontsize=11, fontweight="bold", loc="left")
picture.text(0.38, -0.03, "output channels 0 to 3 of the first layer", fontsize=9, color=GREY)

save(picture, __file__)
