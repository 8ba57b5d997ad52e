"""Checkpoints of several files: sharded safetensors, and torch.distributed.checkpoint."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict

import doconv_torch
from tests.cli.command import contents, fail, run, succeed
from tests.cli.test_files_errors import Payload
from tests.cli.torch_models import GROUPS_AND_KINDS, assert_same, load, plain_model, trained

INDEX = "model.safetensors.index.json"


def shards(folder: Path, state: dict[str, Any], count: int = 3) -> Path:
    """As Hugging Face's libraries write them; every third array in a file of its own."""
    folder.mkdir()
    names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    places = {key: names[i % count] for i, key in enumerate(state)}
    for name in names:
        own = {key: state[key].contiguous() for key in state if places[key] == name}
        safetensors.torch.save_file(own, folder / name, metadata={"format": "pt"})
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    return folder


def whole(folder: Path) -> dict[str, Any]:
    """What the index promises, from the files that it names."""
    index = json.loads((folder / INDEX).read_text())
    state = {}
    for key, name in index["weight_map"].items():
        state[key] = safetensors.torch.load_file(folder / name)[key]
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in state.values())
    held = {key for f in folder.glob("*.safetensors") for key in safetensors.torch.load_file(f)}
    assert held == state.keys()
    return state


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("given", ["folder", "index"])
def test_W_and_D_in_different_shards_are_folded(tmp_path: Path, given: str, count: int) -> None:
    model = trained(plain_model())
    folder, out = shards(tmp_path / "in", model.state_dict(), count), tmp_path / "out"
    file = folder if given == "folder" else folder / INDEX
    before = contents(folder)
    succeed("fold", file, out, "--transposed", "up", "--verify")
    assert_same(whole(out), doconv_torch.fold(model).state_dict())
    assert contents(folder) == before
    with safetensors.safe_open(next(out.glob("*.safetensors")), "pt") as shard:
        assert shard.metadata() == {"format": "pt"}


def test_a_folder_is_converted_and_folded_back(tmp_path: Path) -> None:
    plain = plain_model()
    folder = shards(tmp_path / "in", plain.state_dict())
    succeed("convert", folder, tmp_path / "middle", *GROUPS_AND_KINDS, "--verify")
    assert_same(whole(tmp_path / "middle"), doconv_torch.convert(plain).state_dict())
    succeed("fold", tmp_path / "middle", tmp_path / "out")
    assert_same(whole(tmp_path / "out"), plain.state_dict())


def test_one_file_of_several_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = shards(tmp_path / "in", trained(plain_model()).state_dict())
    for name in ("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"):
        error = fail(2, "fold", folder / name, tmp_path / "out.safetensors")
        assert f"pass the folder, {str(folder)!r}" in error
    (folder / "odd.safetensors").write_bytes((folder / name).read_bytes())
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "odd.safetensors")
    (folder / INDEX).write_text(json.dumps(index))
    assert "pass the folder" in fail(2, "inspect", folder / "odd.safetensors")


def test_what_is_there_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    folder = shards(tmp_path / "in", trained(plain_model()).state_dict())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    error = fail(1, "fold", folder, tmp_path / "out", "--transposed", "up")
    assert "there is something already" in error


def _index(change: Any) -> Any:
    def damage(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        change(index)
        (folder / INDEX).write_text(json.dumps(index))

    return damage


DAMAGED: dict[str, Any] = {
    "a shard missing": lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(),
    "no json": lambda folder: (folder / INDEX).write_text("{"),
    "endless json": lambda folder: (folder / INDEX).write_text("[" * 100_000),
    "no map": _index(lambda index: index.pop("weight_map")),
    "a list": lambda folder: (folder / INDEX).write_text("[]"),
    "another place": _index(
        lambda index: (
            index["weight_map"].update({"stem.D": "model-00003-of-00003.safetensors"})
            if index["weight_map"]["stem.D"] != "model-00003-of-00003.safetensors"
            else index["weight_map"].update({"stem.D": "model-00001-of-00003.safetensors"})
        )
    ),
    "an array too many": _index(
        lambda index: index["weight_map"].update({"x": "model-00001-of-00003.safetensors"})
    ),
    "an array too few": _index(lambda index: index["weight_map"].pop("stem.D")),
    "a file elsewhere": _index(
        lambda index: index["weight_map"].update({"stem.D": "../secret.safetensors"})
    ),
    "a file by its root": _index(
        lambda index: index["weight_map"].update({"stem.D": "/etc/passwd"})
    ),
    "a number for a file": _index(lambda index: index["weight_map"].update({"stem.D": 3})),
    "a shard cut off": lambda folder: (folder / "model-00002-of-00003.safetensors").write_bytes(
        (folder / "model-00002-of-00003.safetensors").read_bytes()[:-1]
    ),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Any) -> None:
    folder = shards(tmp_path / "in", trained(plain_model()).state_dict())
    damage(folder)
    fail(1, "fold", folder, tmp_path / "out", "--transposed", "up")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "no *.safetensors.index.json" in fail(2, "inspect", tmp_path / "in")


# --- torch.distributed.checkpoint ---------------------------------------------------------


def distributed(folder: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = trained(plain_model())
    adam = torch.optim.Adam(model.parameters(), 0.1)
    model(torch.randn(2, 3, 16, 16)).square().mean().backward()
    adam.step()
    state, optimizer = get_state_dict(model, adam)
    content = {"model": state, "optim": optimizer, "epoch": 3, "args": {"lr": 0.1}}
    dcp.save(content, checkpoint_id=str(folder), no_dist=True)
    return model, adam


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("distributed") / "step-3"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.distributed's own
        return folder, *distributed(folder)


@pytest.mark.filterwarnings("ignore")  # of torch.distributed's own
def test_a_distributed_folder_becomes_a_file(tmp_path: Path, checkpoint: Any) -> None:
    folder, model, adam = checkpoint
    out = tmp_path / "out.pt"
    rows = succeed("inspect", folder, "--transposed", "up", "--json").json["layers"]
    assert len(rows) == 6
    done = succeed("fold", folder, out, "--transposed", "up", "--verify", "--json")
    assert done.json["notes"][0].startswith("optimizer 'optim': 5 parameters of D removed")
    content = load(out)
    assert_same(content["model"], doconv_torch.fold(model).state_dict())
    assert (content["epoch"], content["args"]) == (3, {"lr": 0.1})
    plain = plain_model()
    names = [name for name, _ in plain.named_parameters()]
    assert content["optim"]["param_groups"][0]["params"] == names
    assert content["optim"]["state"].keys() == set(names)
    momenta = adam.state[model.stem.weight]["exp_avg"]
    assert torch.equal(content["optim"]["state"]["stem.weight"]["exp_avg"], momenta)


@pytest.mark.filterwarnings("ignore")
def test_a_distributed_folder_becomes_nothing_else(tmp_path: Path, checkpoint: Any) -> None:
    error = fail(2, "fold", checkpoint[0], tmp_path / "out.safetensors")
    assert "becomes one file: OUT.pt" in error


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["index", "item", "elsewhere", "cut off"])
def test_code_in_a_distributed_folder_is_not_run(
    tmp_path: Path, checkpoint: Any, place: str
) -> None:
    folder, trace = tmp_path / "in", tmp_path / "trace"
    shutil.copytree(checkpoint[0], folder)
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    if place == "index":
        metadata.planner_data["payload"] = Payload(trace)
    elif place == "elsewhere":
        (tmp_path / "secret.distcp").write_bytes((folder / "__0_0.distcp").read_bytes())
        for info in metadata.storage_data.values():
            info.relative_path = "../secret.distcp"
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    if place == "item":
        shutil.rmtree(folder)
        dcp.save({"0.D": torch.ones(3), "x": [Payload(trace)]}, checkpoint_id=folder, no_dist=True)
    elif place == "cut off":
        data = (folder / "__0_0.distcp").read_bytes()
        (folder / "__0_0.distcp").write_bytes(data[:-200])
    done = run("fold", folder, tmp_path / "out.pt")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert not trace.exists()
    assert not (tmp_path / "out.pt").exists()
