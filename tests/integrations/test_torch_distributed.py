"""examples/torch/ddp.py and fsdp.py, started by torchrun in two processes, and here in one."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from doconv_torch import convert, fold
from doconv_torch import messages as torch_messages
from tests.integrations.processes import EXAMPLES, alone, torchrun

# Two processes add gradients in another order than one, and 56 steps carry that on.
NEAR = {"rtol": 1e-3, "atol": 1e-4}


class Two(NamedTuple):
    """What two processes left.

    Attributes:
        script: theirs.
        folder: theirs.
        said: what they printed.
    """

    script: str
    folder: Path
    said: str


# `make test-integrations` has fsdp.py too, and ddp.py --at-optimizer.
SCRIPTS = ["ddp.py", "fsdp.py"] if "DOCONV_ALL" in os.environ else ["ddp.py"]


@pytest.fixture(scope="module", params=SCRIPTS)
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder = tmp_path_factory.mktemp("two")
    return Two(request.param, folder, torchrun(2, request.param, "--folder", folder))


def states(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The trained and the deployed one."""
    trained, deployed = (torch.load(folder / f"{n}.pt") for n in ("model", "deployed"))
    return trained, deployed


# torch 2.13 warns of a single process, and of tensors that it makes from untyped storages.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.integration("DistributedDataParallel", "convert", "train", "save", "resume", "fold")
@pytest.mark.integration("FSDP2 (fully_shard)", "convert", "train", "save", "resume")
@pytest.mark.integration("torch.distributed.checkpoint", "save", "resume")
def test_two_processes_train_as_one_and_resume(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with alone(two.script, monkeypatch) as main:
        main(folder=tmp_path)
        whole = states(tmp_path)
        torch.testing.assert_close(states(two.folder), whole, **NEAR)
        main(folder=tmp_path / "again", resume=tmp_path / "1")
        torch.testing.assert_close(states(tmp_path / "again"), whole, rtol=0, atol=0)
        main(folder=tmp_path / "theirs", resume=two.folder / "1")
        torch.testing.assert_close(states(tmp_path / "theirs"), whole, **NEAR)


def test_replicas_are_equal(two: Two) -> None:
    found = re.findall(r"weights (\w{16}), deployed (\w{16})", two.said)
    assert len(found) == (2 if two.script == "ddp.py" else 1)  # else gathered in one process
    assert len(set(found)) == 1


@pytest.mark.integration("torch.distributed.checkpoint", fold="gather first")
def test_what_is_deployed_is_the_fold_of_the_gathered_state(two: Two) -> None:
    trained, deployed = states(two.folder)
    assert all(array.any() for key, array in trained.items() if key.endswith(".D"))
    network = runpy.run_path(str(EXAMPLES / two.script))["network"]
    model = convert(network(torch.device("cpu")) if two.script == "ddp.py" else network()).eval()
    model.load_state_dict(trained)
    torch.testing.assert_close(fold(model).state_dict(), deployed, rtol=0, atol=0)
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fold(model)(x), model(x))


@pytest.mark.integration(
    "FSDP2 (fully_shard)", fold="refused: gather the state, load it into an unsharded model"
)
def test_a_sharded_fold_is_refused_with_the_way_out(two: Two) -> None:
    refused = torch_messages.sharded("", "FSDPSequential")
    assert "Gather the full state dict into an unsharded model, then fold() that." in refused
    assert two.said.count(refused) == (2 if two.script == "fsdp.py" else 0)
