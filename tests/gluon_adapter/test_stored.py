"""Files that an older version has written are read, and compute what they did."""

from __future__ import annotations

import pickle

import numpy as np

from doconv_gluon import CondConv2D, DOConv2D, DOConv2DTranspose, XSepConv2D, get_state, set_state
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import ROOT, nn
from tests.star.backends.backend_gluon import ndarray

STORED = ROOT / "tests" / "stored" / "v4c3cd6c"


def test_parameters_of_a_network_of_every_class() -> None:
    net = nn.HybridSequential()
    net.add(
        DOConv2D(4, 3, padding=1, in_channels=2),
        DOConv2D(4, 3, padding=1, groups=4, in_channels=4, D_mul=11),
        CondConv2D(4, 3, padding=1, in_channels=4, num_experts=2, D_mul="K"),
        XSepConv2D(4, 5, D_mul="K", corner=1),
        DOConv2DTranspose(2, 2, strides=2, in_channels=4),
    )
    net.load_parameters(str(STORED / "network.params"))
    with np.load(STORED / "network.npz") as stored:
        y = stored["y"]
        assert abs(net(ndarray(stored["x"])).asnumpy() - y).max() <= 1e-5 * abs(y).max()


def test_a_neutral_state_that_torch_has_written() -> None:
    """Its feature composition and the names of its children are the same here."""
    with (STORED / "state.pkl").open("rb") as file:
        state = pickle.load(file)  # our own
    net = nn.HybridSequential()
    net.add(
        DOConv2D(4, 3, padding=1, in_channels=2),
        DOConv2D(4, 3, padding=1, groups=4, in_channels=4, D_mul=11, composition="feature"),
        CondConv2D(4, 3, padding=1, in_channels=4, num_experts=2, D_mul="K"),
        XSepConv2D(4, 5, D_mul="K", corner=1),
        DOConv2DTranspose(2, 2, strides=2, in_channels=4),
    )
    net.initialize()
    net(mx.nd.zeros((1, 2, 6, 6)))
    set_state(net, state)
    assert get_state(net).keys() == state.keys()
    with np.load(STORED / "module.npz") as stored:
        y = stored["y"]
        assert abs(net(ndarray(stored["x"])).asnumpy() - y).max() <= 1e-5 * abs(y).max()
