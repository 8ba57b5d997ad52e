"""Layers trained in one framework go on in another: by the neutral file, with renamed layers."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import checkpoint
from tests.star.backends import backend as backends
from tests.star.backends.backend import Backend
from tests.star.cases.conv import Case, arrays, case
from tests.star.training import SQUARES

NETWORK = [
    case("conv", (3, 8), (3, 3), (9, 9)),
    case("grouped", (8, 8), (2, 3), (7, 7), groups=2, bias=False),
    case("depthwise", (8, 16), (2, 2), (6, 5), groups=8),
    case("transposed", (16, 4), (2, 2), (5, 4), transposed=True, stride=2),
]
"""Each layer's output is the next one's input."""

PAIRS = list(itertools.permutations(backends.names(), 2))
pairs = pytest.mark.parametrize(("source", "target"), PAIRS, ids=map(" to ".join, PAIRS))
columns = pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul=11"])


def network(backend: Backend, D_mul: int | None, seed: int) -> Any:
    """The converted network, with weights of its own."""

    def layer(case: Case) -> Any:
        data = arrays(case, "gaussian", seed=seed)
        fan_in = case.spec.in_channels // case.spec.groups * case.spec.K
        return backend.plain(case, (2 / fan_in) ** 0.5 * data.W, data.bias)

    return backend.convert(backend.network([layer(case) for case in NETWORK]), D_mul=D_mul)


def train(backend: Backend, model: Any) -> Any:
    return backend.train(model, IMAGES, TARGETS, SQUARES, steps=5, lr=1e-3)


IMAGES = arrays(NETWORK[0], "gaussian").x
TARGETS = arrays(NETWORK[-1], "gaussian").grad_y
RTOL = 1e-5
"""Of the largest output: a hundred roundings, through four layers and ten steps."""


def assert_same_outputs(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=RTOL * abs(theirs).max())


@columns
@pairs
def test_what_was_trained_in_one_framework_goes_on_in_another(
    source: str, target: str, D_mul: int | None, tmp_path: Path
) -> None:
    there, here = backends.load(source), backends.load(target)
    theirs = train(there, network(there, D_mul, seed=0))
    checkpoint.save(tmp_path / "layers.safetensors", there.states(theirs))

    ours = network(here, D_mul, seed=1)
    new_name = dict(zip(there.states(theirs), here.states(ours), strict=True))
    state = checkpoint.load(tmp_path / "layers.safetensors")
    here.set_states(ours, {new_name[name]: layer for name, layer in state.items()})

    assert all(layer.D.any() for layer in state.values())  # so that a lost D is seen
    assert_same_outputs(here.forward(ours, IMAGES), there.forward(theirs, IMAGES))
    theirs, ours = train(there, theirs), train(here, ours)
    assert_same_outputs(here.forward(ours, IMAGES), there.forward(theirs, IMAGES))
