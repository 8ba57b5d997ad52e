"""examples/torch/ddp.py --at-optimizer in two processes, and here in one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.integrations.processes import alone, torchrun
from tests.integrations.test_torch_distributed import NEAR, states


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.integration("OptimizerDOConv", "train", "save", "resume")
def test_data_parallel_training_at_the_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = torchrun(2, "ddp.py", "--folder", tmp_path / "two", "--at-optimizer")
    found = re.findall(r"weights (\w{16}), deployed (\w{16})", said)
    assert len(found) == 2
    assert len({digest for both in found for digest in both}) == 1  # it was plain all along
    with alone("ddp.py", monkeypatch) as main:
        main(folder=tmp_path / "one", at_optimizer=True)
        whole = states(tmp_path / "one")
        torch.testing.assert_close(states(tmp_path / "two"), whole, **NEAR)
        main(folder=tmp_path / "again", at_optimizer=True, resume=tmp_path / "one" / "1")
        torch.testing.assert_close(states(tmp_path / "again"), whole, rtol=0, atol=0)
