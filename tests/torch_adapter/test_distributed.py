"""Wrapped and sharded models, really: one process that talks to itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from doconv_torch import DOConv2d, OptimizerDOConv, convert, fold, get_state, summary
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import everything, images, network, train


@pytest.fixture
def one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.integration("DistributedDataParallel", convert="convert first, then wrap")
@pytest.mark.usefixtures("one_process")
def test_a_wrapped_model_is_converted_first() -> None:
    wrapped = DistributedDataParallel(network())
    with pytest.raises(ValueError, match="Convert the model first, then wrap it"):
        convert(wrapped)
    inner = wrapped.module
    DistributedDataParallel(convert(inner))(images()).sum().backward()


@pytest.mark.integration("ZeroRedundancyOptimizer", convert="convert first, then build it")
@pytest.mark.usefixtures("one_process")
def test_an_optimizer_that_dealt_its_parameters_out_is_refused() -> None:
    model = network()
    before = everything(model)
    # torch 2.13 compiles a part of it by its own, deprecated, scripts.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import ZeroRedundancyOptimizer
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)
    with pytest.raises(ValueError, match="Convert the model first, and build the optimizer"):
        convert(model, inplace=True, optimizer=optimizer)
    with pytest.raises(ValueError, match="Received: optimizer='ZeroRedundancyOptimizer'"):
        OptimizerDOConv(model, optimizer)
    assert everything(model) == before


@pytest.mark.integration(
    "FSDP2 (fully_shard)",
    convert="convert first, then shard",
    fold="refused: gather the state, load it into an unsharded model, fold that",
)
@pytest.mark.usefixtures("one_process")
def test_sharded_models() -> None:
    mesh = init_device_mesh("cpu", (1,))
    with pytest.raises(ValueError, match="Convert the model first, then wrap it"):
        convert(fully_shard(network(), mesh=mesh))
    model = convert(network())
    whole = {name: p.detach().clone() for name, p in model.named_parameters()}
    fully_shard(model, mesh=mesh)
    with pytest.raises(ValueError, match="must be whole, not sharded"):
        fold(model)
    assert all(torch.equal(p.full_tensor(), whole[n]) for n, p in model.named_parameters())


WHOLE = StateDictOptions(full_state_dict=True, strict=True)


@pytest.mark.integration("FSDP2 (fully_shard)", "train", resume="a plain state")
@pytest.mark.parametrize("start", ["trained", "meta"])
@pytest.mark.usefixtures("one_process")
def test_a_plain_state_in_a_sharded_model(start: str) -> None:
    """torch fills what a state lacks with what the model holds: D, uninitialized or of before."""
    mesh, plain = init_device_mesh("cpu", (1,)), network()
    torch.use_deterministic_algorithms(True)  # uninitialized memory is NaN
    try:
        with torch.device("meta" if start == "meta" else "cpu"):
            model = convert(network(1), D_mul=11)
        if start == "trained":
            train(model)
        fully_shard(model, mesh=mesh)
        if start == "meta":
            model.to_empty(device="cpu")
        set_model_state_dict(model, plain.state_dict(), options=WHOLE)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(model.eval()(images()), plain.eval()(images()))


def test_a_state_of_its_own_D_is_kept() -> None:
    model = train(convert(network()))
    state = network(1).state_dict() | {"0.D": model[0].D.detach().clone()}
    model.load_state_dict(state)
    assert torch.equal(model[0].D, state["0.D"])
    assert not model[3].D.any()


@pytest.mark.integration("OptimizerDOConv", convert="of a sharded model refused: convert() first")
@pytest.mark.usefixtures("one_process")
def test_at_the_optimizer_of_a_sharded_model_the_reason_is_told() -> None:
    mesh = init_device_mesh("cpu", (1,))
    model = network()
    rows = len(summary(model))
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match=rf"[0-9] left: {torch_messages.SHARDED}"):
        OptimizerDOConv(model, optimizer)
    assert [row.reason for row in summary(model)] == [torch_messages.SHARDED] * rows
    assert {type(p).__name__ for p in optimizer.param_groups[0]["params"]} == {"DTensor"}


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("name", ["weight", "D", "W_extra"])
def test_one_sharded_array(name: str) -> None:
    mesh = init_device_mesh("cpu", (1,))
    model = nn.Sequential(DOConv2d(2, 2, 3, D_mul=11), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3))
    for layer, array in ((model[0], name), (model[1], "weight")):
        part = distribute_tensor(getattr(layer, array).detach(), mesh, [Shard(0)])
        setattr(layer, array, nn.Parameter(part))
    with pytest.raises(ValueError, match=r"cannot fold layer '0'.*type='DTensor'"):
        fold(model)
    with pytest.raises(ValueError, match=r"cannot read .* layer '0': its arrays are sharded"):
        get_state(model)
    reasons = [row.reason for row in summary(convert(model, inplace=True))]
    assert reasons == ["", torch_messages.SHARDED, ""]


@pytest.mark.parametrize("verb", [convert, fold])
def test_older_sharding_is_known_by_its_class(verb: Any) -> None:
    model = nn.Module()
    model.__class__ = type("MyFSDP", (FullyShardedDataParallel,), {"__init__": nn.Module.__init__})
    with pytest.raises(ValueError, match=r"type='MyFSDP'"):
        verb(nn.ModuleList([model]))


@pytest.mark.integration("torch.distributed.checkpoint", resume="a plain one: in part")
def test_a_plain_distributed_checkpoint_is_loaded_in_part(tmp_path: Path) -> None:
    """It lacks D, which a fresh conversion has as zeros."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint import DefaultLoadPlanner

    plain, model = network(1), convert(network(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        checkpoint.save(plain.state_dict(), checkpoint_id=tmp_path)
        planner = DefaultLoadPlanner(allow_partial_load=True)
        checkpoint.load(model.state_dict(), checkpoint_id=tmp_path, planner=planner)
    assert torch.equal(model.eval()(images()), plain.eval()(images()))


@pytest.mark.integration(
    "torch.distributed.checkpoint", save="OptimizerDOConv: its optimizer's own state_dict()"
)
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_at_the_optimizer_a_state_by_the_models_names_is_refused_and_by_numbers_goes_on(
    tmp_path: Path,
) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer, OptimizerDOConv]:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3))
        adam = torch.optim.Adam(model.parameters(), 0.1)
        return model, adam, OptimizerDOConv(model, adam)

    def step(model: nn.Module, adam: torch.optim.Optimizer) -> None:
        adam.zero_grad()
        model(images(3)).square().mean().backward()
        adam.step()

    model, adam, over = made()
    step(model, adam)
    for state in (get_optimizer_state_dict, get_state_dict):
        with pytest.raises(ValueError, match="D is no parameter of the model"):
            state(model, adam)
    content = {"model": model.state_dict(), "optimizer": adam.state_dict()}
    dcp.save(content, checkpoint_id=tmp_path, no_dist=True)
    other, its, its_over = made()
    step(other, its)  # so that there are momenta to load into
    content = {"model": other.state_dict(), "optimizer": its.state_dict()}
    dcp.load(content, checkpoint_id=tmp_path, no_dist=True)
    other.load_state_dict(content["model"])
    its.load_state_dict(content["optimizer"])
    for name, arrays in over.state_dict().items():
        assert arrays["D"].any()
        for key, array in arrays.items():
            assert torch.equal(its_over.state_dict()[name][key], array)
    step(model, adam)
    step(other, its)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
