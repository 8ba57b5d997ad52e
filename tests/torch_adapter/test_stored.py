"""Files that an earlier version wrote still load, and compute what they did."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from doconv_torch import fold, get_state, set_state

STORED = Path(__file__).parents[1] / "stored"
every_version = pytest.mark.parametrize("version", sorted(p.name for p in STORED.glob("v*")))


def model_and_data(version: str) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    # Whole modules are pickled by the paths that their classes had.
    model = torch.load(STORED / version / "module.pt", weights_only=False)
    data = np.load(STORED / version / "module.npz")
    return model, torch.from_numpy(data["x"]), torch.from_numpy(data["y"])


@every_version
def test_a_pickled_model_computes_what_it_did(version: str) -> None:
    model, x, y = model_and_data(version)
    torch.testing.assert_close(model(x), y)
    torch.testing.assert_close(fold(model)(x), y, atol=1e-5, rtol=1e-5)


@every_version
def test_a_pickled_neutral_state_fits_it(version: str) -> None:
    model, x, y = model_and_data(version)
    state = pickle.loads((STORED / version / "state.pkl").read_bytes())
    assert state.keys() == get_state(model).keys()
    with torch.no_grad():
        for layer in state:
            model.get_submodule(layer).weight.zero_()
    set_state(model, state)
    torch.testing.assert_close(model(x), y)
