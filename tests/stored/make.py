"""What wrote the files of tests/stored, on the commit that their folder is called after.

python tests/stored/make.py FOLDER
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np


def torch_module(folder: Path) -> None:
    """A whole module of every class, with random D's, as ``torch.save`` pickles it."""
    import torch
    from torch import nn

    import doconv_torch as ours

    torch.manual_seed(0)
    model = nn.Sequential(
        ours.DOConv2d(2, 4, 3, padding=1),
        ours.DOConv2d(4, 4, 3, padding=1, groups=4, D_mul=11, composition="feature"),
        ours.CondConv2d(4, 4, 3, padding=1, num_experts=2, D_mul="K"),
        ours.XSepConv2d(4, 5, D_mul="K", corner=1),
        ours.DOConvTranspose2d(4, 2, 2, stride=2),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rsplit(".", 1)[-1] == "D":
                parameter.normal_(0, 0.1)
    x = torch.randn(2, 2, 6, 6)
    torch.save(model.eval(), folder / "module.pt")
    with (folder / "state.pkl").open("wb") as file:
        pickle.dump(ours.get_state(model), file)
    np.savez(folder / "module.npz", x=x.numpy(), y=model(x).detach().numpy())


def keras_model(folder: Path) -> None:
    """A model of every class, unfolded, as Keras saves it."""
    import keras
    from keras import layers

    import doconv_tf as ours

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            ours.DOConv2D(4, 3, padding="same", D_mul=11),
            ours.DODepthwiseConv2D(3, padding="same"),
            ours.DOSeparableConv2D(4, 3, padding="same"),
            ours.CondConv2D(4, 3, padding="same", num_experts=2, D_mul="K"),
            ours.XSepConv2D(5, D_mul="K", corner=1),
            ours.DOConv2DTranspose(2, 2, strides=2),
            layers.GlobalAveragePooling2D(),
        ]
    )
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "D":
            variable.assign(random.normal(0, 0.1, variable.shape))
    x = random.normal(size=(2, 6, 6, 2)).astype(np.float32)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    np.savez(folder / "model.npz", x=x, y=np.asarray(model(x)))


def gluon_network(folder: Path) -> None:
    """The parameters of a network of every class, as Gluon saves them."""
    from doconv_gluon import CondConv2D, DOConv2D, DOConv2DTranspose, XSepConv2D  # isort: skip
    import mxnet as mx

    mx.random.seed(0)
    net = mx.gluon.nn.HybridSequential()
    net.add(
        DOConv2D(4, 3, padding=1, in_channels=2),
        DOConv2D(4, 3, padding=1, groups=4, in_channels=4, D_mul=11),
        CondConv2D(4, 3, padding=1, in_channels=4, num_experts=2, D_mul="K"),
        XSepConv2D(4, 5, D_mul="K", corner=1),
        DOConv2DTranspose(2, 2, strides=2, in_channels=4),
    )
    net.initialize()
    random = np.random.default_rng(0)
    for name, parameter in net.collect_params().items():
        if name.endswith("D"):
            parameter.set_data(mx.nd.array(random.normal(0, 0.1, parameter.shape)))
    x = random.normal(size=(2, 2, 6, 6)).astype(np.float32)
    y = net(mx.nd.array(x)).asnumpy()
    net.save_parameters(str(folder / "network.params"))
    np.savez(folder / "network.npz", x=x, y=y)


if __name__ == "__main__":
    for make in (torch_module, keras_model, gluon_network):
        make(Path(sys.argv[1]))
