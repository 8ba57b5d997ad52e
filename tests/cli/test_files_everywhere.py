"""State dicts wherever people put them in a checkpoint of PyTorch, and what lies beside them."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn

import doconv_torch
from tests.cli.command import fail, succeed
from tests.cli.torch_models import GROUPS_AND_KINDS, assert_same, load, plain_model, save, trained


def state(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    return trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))).state_dict()


def D_keys(content: Any, path: str = "") -> list[str]:
    """Where a D is, by a walk of its own."""
    if isinstance(content, dict):
        return [
            found
            for key, value in content.items()
            for found in ([f"{path}/{key}"] if str(key).endswith("D") else [])
            + D_keys(value, f"{path}/{key}")
        ]
    if isinstance(content, (list, tuple)):
        return [found for i, value in enumerate(content) for found in D_keys(value, f"{path}/{i}")]
    return []


# --- everything is found ------------------------------------------------------------------

A, B, C = state(1), state(2), state(3)
PLACES: dict[str, tuple[Any, set[str]]] = {
    "root and a teacher": (
        {**{f"net.{key}": value for key, value in A.items()}, "teacher": B},
        {"net.0", "net.1", "teacher/0", "teacher/1"},
    ),
    "an EMA's module": (
        {"model": A, "ema": {"decay": 0.99, "module": B}},
        {"model/0", "model/1", "ema/module/0", "ema/module/1"},
    ),
    "a list": ([A, B], {"0/0", "0/1", "1/0", "1/1"}),
    "a tuple in a dict": ({"nets": (A, B)}, {"nets/0/0", "nets/0/1", "nets/1/0", "nets/1/1"}),
    "deep": ({"nets": {"G": A}}, {"0", "1"}),
    "three deep": (
        {"a": {"b": {"c": A}}, "d": [{"e": B}], "f": C},
        {f"{place}/{i}" for place in ("a/b/c", "d/0/e", "f") for i in (0, 1)},
    ),
    "DataParallel": ({f"module.{k}": v for k, v in A.items()}, {"module.0", "module.1"}),
    "compiled": ({f"_orig_mod.{k}": v for k, v in A.items()}, {"_orig_mod.0", "_orig_mod.1"}),
    "prefixes of several": (
        {f"{p}.{key}": value for p, own in (("G", A), ("ema", B)) for key, value in own.items()},
        {"G.0", "G.1", "ema.0", "ema.1"},
    ),
    "a newline in a key": ({f"a\nb.{k}": v for k, v in A.items()}, {"a\nb.0", "a\nb.1"}),
    "the same dict twice": ({"a": A, "b": A}, {"0", "1"}),
    "defaultdict": (
        {"m": collections.defaultdict(list, A), "n": B},
        {"m/0", "m/1", "n/0", "n/1"},
    ),
    "a slash in a key": ({"a/b": A, "a": {"b": B}}, {"a/b/0", "a/b/1", "a/b//0", "a/b//1"}),
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
@pytest.mark.parametrize(("content", "names"), PLACES.values(), ids=PLACES.keys())
def test_every_state_dict_is_folded(
    tmp_path: Path, content: Any, names: set[str], legacy: bool
) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    assert {row["name"] for row in succeed("inspect", file, "--json").json["layers"]} == names
    done = succeed("fold", file, out, "--verify", "--json")
    assert set(done.json["folded"]) == names
    assert D_keys(torch.load(out, weights_only=False)) == []
    assert D_keys(torch.load(file, weights_only=False)) != []


def test_what_is_shared_stays_shared(tmp_path: Path) -> None:
    torch.save({"a": A, "b": A, "c": B}, tmp_path / "file.pt")
    succeed("fold", tmp_path / "file.pt", tmp_path / "out.pt")
    out = load(tmp_path / "out.pt")
    assert out["a"] is out["b"]
    assert out["a"] is not out["c"]


def test_inspect_says_where_the_state_dicts_are(tmp_path: Path) -> None:
    torch.save({"nets": {"G": A}, "ema": B}, tmp_path / "file.pt")
    shown = succeed("inspect", tmp_path / "file.pt", "--json").json
    assert shown["state_dicts"] == ["nets/G", "ema"]
    assert "2 state dicts with convolutions: 'nets/G', 'ema'" in (
        succeed("inspect", tmp_path / "file.pt").out
    )
    torch.save({"nets": {"G": A}}, tmp_path / "one.pt")
    assert "1 state dict with convolutions: 'nets/G'" in (
        succeed("inspect", tmp_path / "one.pt").out
    )


# --- nothing is left ----------------------------------------------------------------------

LEFT: dict[str, tuple[Any, str]] = {
    "an EMA without names": (
        {"model": A, "ema": {"decay": 0.9, "shadow_params": list(B.values())}},
        "'ema/shadow_params'",
    ),
    "a D of another type": ({**A, "2.D": torch.zeros(4, 9, 9, dtype=torch.int8)}, "'2.D'"),
    "a stretched D": (
        {**A, "2.weight": torch.ones(4, 3, 3, 3), "2.D": torch.ones(1).expand(3, 9, 9)}, "'2.D'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), LEFT.values(), ids=LEFT.keys())
def test_a_D_that_would_remain_is_an_error_and_named(
    tmp_path: Path, content: Any, said: str
) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save(content, file)
    error = fail(1, "fold", file, out)
    assert "a D would remain in OUT" in error
    assert said in error
    shown = succeed("inspect", file, "--json")
    assert [repr(path) for path in shown.json["unplaced"]] == [said]
    assert said in shown.err
    succeed("fold", file, out, "--only", "model" if "model" in content else "0")  # on purpose


@pytest.mark.parametrize(
    ("only", "folded"),
    [
        ("model", {"model/0", "model/1"}),
        ("ema/module", {"ema/module/0", "ema/module/1"}),
        ("ema", {"ema/module/0", "ema/module/1"}),
        ("*/1", {"model/1", "ema/module/1"}),
        ("model/0", {"model/0"}),
    ],
)
def test_only_a_part_is_folded_on_purpose(tmp_path: Path, only: str, folded: set[str]) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": A, "ema": {"module": B}}, file)
    done = succeed("fold", file, out, "--only", only, "--json")
    assert set(done.json["folded"]) == folded
    left = {row["name"] for row in succeed("inspect", out, "--json").json["layers"] if row["D"]}
    assert left == {"model/0", "model/1", "ema/module/0", "ema/module/1"} - folded


def test_only_the_one_state_dict_can_be_named_too(tmp_path: Path) -> None:
    save({"state_dict": A}, tmp_path / "file.pt")
    succeed("fold", tmp_path / "file.pt", tmp_path / "out.pt", "--only", "state_dict")
    error = fail(2, "fold", tmp_path / "file.pt", tmp_path / "more.pt", "--only", "model")
    assert "--only: 'model' fits no layer" in error


# --- what else training saves -------------------------------------------------------------


class Own:
    """A class that nobody knows."""


HARMLESS: dict[str, Any] = {
    "argparse": argparse.Namespace(lr=0.1, path=pathlib.Path("runs")),
    "pathlib": pathlib.Path("a") / "b",
    "NumPy scalar": np.float64(0.5),
    "NumPy integer": np.int64(3),
    "NumPy array": np.arange(6.0).reshape(2, 3),
    "NumPy bool": np.bool_(True),
    "defaultdict": collections.defaultdict(list, {1: [2]}),
    "OrderedDict": collections.OrderedDict(a=1),
    "Counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2], maxlen=3),
    "Size": torch.Size([2, 3]),
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "datetime": datetime.datetime(2020, 1, 2, 3),
    "timedelta": datetime.timedelta(seconds=3),
    "set": {1, 2},
    "bytes": b"\x00\xff",
    "complex": 1j,
    "negative view": torch.ones(2, dtype=torch.complex64).conj().imag,
    "integers": torch.arange(3),
}


@pytest.mark.parametrize("thing", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_objects_are_kept(tmp_path: Path, thing: Any) -> None:
    file, out = tmp_path / "file.ckpt", tmp_path / "out.ckpt"
    torch.save({"state_dict": A, "hyper_parameters": {"thing": thing}}, file)
    succeed("fold", file, out)
    kept = torch.load(out, weights_only=False)["hyper_parameters"]["thing"]
    assert type(kept) is type(thing)
    assert np.all(np.asarray(kept == thing))


UNUSUAL: dict[str, Callable[[], Any]] = {
    "meta": lambda: torch.ones(2, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "uint16": lambda: torch.ones(3, dtype=torch.uint16),
    "not contiguous": lambda: torch.arange(6.0).reshape(2, 3).T,
    "empty": lambda: torch.empty(0, 3),
}


@pytest.mark.filterwarnings("ignore")  # of prototypes and deprecations, by making them
@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_tensors_are_kept(tmp_path: Path, make: Callable[[], Any]) -> None:
    tensor = make()
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": A, "other": tensor}, file)
    succeed("fold", file, out)
    kept = torch.load(out, weights_only=False)["other"]
    assert type(kept) is type(tensor)
    assert (kept.dtype, kept.layout) == (tensor.dtype, tensor.layout)
    assert kept.requires_grad == tensor.requires_grad
    if not tensor.is_nested:
        assert kept.shape == tensor.shape
    if tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_nested:
        assert torch.equal(
            kept.dequantize() if kept.is_quantized else kept.double(),
            tensor.dequantize() if tensor.is_quantized else tensor.double(),
        )


def test_other_objects_are_refused_by_class_and_place_unless_allowed(tmp_path: Path) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": A, "callbacks": [{"best": Own()}]}, file)
    error = fail(1, "fold", file, out)
    name = f"{Own.__module__}.Own"
    assert f"at 'callbacks/0/best' it holds an object of {name!r}" in error
    assert f"--allow {name}" in error
    succeed("fold", file, out, "--allow", name)
    assert isinstance(torch.load(out, weights_only=False)["callbacks"][0]["best"], Own)


# --- optimizers ---------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, 0.1),
    "SGD momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, 0.1),
}
CONVERSIONS: dict[str, dict[str, int]] = {"D_mul=K": {}, "D_mul=14": {"D_mul": 14}}


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.manual_seed(5)
    optimizer.zero_grad()
    model(torch.randn(2, 3, 16, 16)).square().mean().backward()
    optimizer.step()


def by_decay(model: nn.Module) -> list[dict[str, Any]]:
    """As people leave weight decay out for biases and norms."""
    every = list(model.parameters())
    few = [p for p in every if p.ndim < 2]
    return [{"params": [p for p in every if p.ndim >= 2]}, {"params": few, "weight_decay": 0.0}]


def by_layer(model: nn.Module) -> list[dict[str, Any]]:
    """As layer-wise rates have it: the last layers first, D's apart in each."""
    groups = []
    for layer in reversed(list(model.children())):
        for wanted in (True, False):
            own = [p for name, p in layer.named_parameters() if (name == "D") == wanted]
            groups += [{"params": own, "lr": 0.1 / (1 + len(groups))}] if own else []
    return groups


@pytest.mark.parametrize("options", CONVERSIONS.values(), ids=CONVERSIONS.keys())
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("order", ["model", "added", "names"])
def test_an_optimizer_goes_on_with_the_plain_model(
    tmp_path: Path,
    options: dict[str, int],
    optimizer: Callable[[Any], torch.optim.Optimizer],
    order: str,
) -> None:
    if order == "added":  # to an optimizer that was there
        model = plain_model()
        made = optimizer(model.parameters())
        doconv_torch.convert(model, inplace=True, optimizer=made, **options)
    else:
        model = trained(plain_model(), **options)
        made = optimizer(list(model.named_parameters()) if order == "names" else model.parameters())
    step(model, made)
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": model.state_dict(), "optimizer": made.state_dict()}, file)
    done = succeed("fold", file, out, "--json")
    (note,) = done.json["notes"]
    assert note.startswith("optimizer 'optimizer': ")
    saved = load(out)
    plain = plain_model()
    plain.load_state_dict(saved["model"])
    fresh = optimizer(plain.parameters())
    fresh.load_state_dict(saved["optimizer"])
    momenta = {name: made.state[p] for name, p in model.named_parameters()}
    for name, parameter in plain.named_parameters():
        assert fresh.state[parameter].keys() == momenta[name].keys(), name
        for key, tensor in momenta[name].items():
            assert torch.equal(fresh.state[parameter][key], tensor), (name, key)
    step(plain, fresh)


def test_convert_makes_room_for_D_in_an_optimizer(tmp_path: Path) -> None:
    plain = plain_model()
    adam = torch.optim.Adam(plain.parameters(), 0.1)
    step(plain, adam)
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": plain.state_dict(), "optimizer": adam.state_dict()}, file)
    groups = ("--groups", "grouped=2", "--groups", "depthwise=6", "--groups", "wider=2")
    kinds = ("--groups", "1", "--transposed", "up", "--transposed", "wider")
    succeed("convert", file, out, *groups, *kinds)
    saved = load(out)
    model = doconv_torch.convert(plain)
    model.load_state_dict(saved["model"])
    fresh = torch.optim.Adam(model.parameters(), 0.1)
    fresh.load_state_dict(saved["optimizer"])
    momenta = {name: adam.state[p] for name, p in plain.named_parameters()}
    for name, parameter in model.named_parameters():
        if name.endswith(".D"):
            assert not fresh.state[parameter]
        else:
            assert torch.equal(fresh.state[parameter]["exp_avg"], momenta[name]["exp_avg"])
    step(model, fresh)


GROUPS: dict[str, Callable[[nn.Module], list[dict[str, Any]]]] = {
    "by weight decay": by_decay,
    "the other way round": lambda model: by_decay(model)[::-1],
    "by layer": by_layer,
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS.keys())
@pytest.mark.parametrize("optimizer", ["SGD momentum", "Adam"])
def test_parameters_in_groups_go_on_with_the_plain_model(
    tmp_path: Path, groups: Callable[[nn.Module], list[dict[str, Any]]], optimizer: str
) -> None:
    model = trained(plain_model(), D_mul=14)
    made = OPTIMIZERS[optimizer](groups(model))
    step(model, made)
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": model.state_dict(), "optimizer": made.state_dict()}, file)
    assert "parameters of D removed" in succeed("fold", file, out).err
    saved = load(out)
    plain = plain_model()
    plain.load_state_dict(saved["model"])
    fresh = OPTIMIZERS[optimizer](groups(plain))
    sizes = [len(group["params"]) for group in saved["optimizer"]["param_groups"]]
    assert sizes == [len(group["params"]) for group in fresh.param_groups]
    fresh.load_state_dict(saved["optimizer"])
    momenta = {name: made.state[p] for name, p in model.named_parameters()}
    for name, parameter in plain.named_parameters():
        assert fresh.state[parameter].keys() == momenta[name].keys(), name
        for key, tensor in momenta[name].items():
            assert torch.equal(fresh.state[parameter][key], tensor), (name, key)
    step(plain, fresh)


@pytest.mark.parametrize("turned", [1, -1], ids=["by weight decay", "the other way round"])
def test_convert_puts_D_into_the_group_of_its_weight(tmp_path: Path, turned: int) -> None:
    plain = plain_model()
    adam = torch.optim.Adam(by_decay(plain)[::turned], 0.1)
    step(plain, adam)
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": plain.state_dict(), "optimizer": adam.state_dict()}, file)
    succeed("convert", file, out, *GROUPS_AND_KINDS)
    saved = load(out)
    model = doconv_torch.convert(plain)
    model.load_state_dict(saved["model"])
    fresh = torch.optim.Adam(by_decay(model)[::turned], 0.1)
    fresh.load_state_dict(saved["optimizer"])
    for name, parameter in model.named_parameters():
        expected = adam.state[dict(plain.named_parameters())[name]] if name[-2:] != ".D" else {}
        assert fresh.state[parameter].keys() == expected.keys()
        for key, tensor in expected.items():
            assert torch.equal(fresh.state[parameter][key], tensor), (name, key)
    step(model, fresh)


def without_momenta(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(by_decay(model), 0.1)


def with_a_momentum_of_Ds_size(model: nn.Module) -> torch.optim.Optimizer:
    """A weight (3, 9, 9) of another dimension, beside a D of those sizes, in groups by layer."""
    model.append(nn.Conv1d(9, 3, 9))
    adam = torch.optim.Adam(by_layer(model), 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    return adam


@pytest.mark.parametrize("optimizer", [without_momenta, with_a_momentum_of_Ds_size])
def test_an_optimizer_that_nothing_tells_of_is_refused_or_dropped(
    tmp_path: Path, optimizer: Callable[[nn.Module], torch.optim.Optimizer]
) -> None:
    model = trained(plain_model())
    state = optimizer(model).state_dict()
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({"model": model.state_dict(), "optimizer": state}, file)
    said = "neither names nor the sizes of their momenta tell which are of the layers that change"
    assert f"{said}; pass --drop-optimizer" in fail(2, "fold", file, out)
    done = succeed("fold", file, out, "--drop-optimizer")
    assert done.err == "note: optimizer 'optimizer': left out\n"
    assert list(load(out)) == ["model"]
    assert_same(load(out)["model"], doconv_torch.fold(model).state_dict())


def test_what_became_of_the_rest_is_said(tmp_path: Path) -> None:
    model = trained(plain_model())
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 2)
    content = {"state_dict": model.state_dict(), "optimizer_states": [sgd.state_dict()],
               "lr_schedulers": [scheduler.state_dict()]}  # fmt: skip
    torch.save(content, tmp_path / "file.ckpt")
    said = succeed("fold", tmp_path / "file.ckpt", tmp_path / "out.ckpt").err
    assert "optimizer 'optimizer_states/0': 5 parameters of D removed" in said
    assert "scheduler 'lr_schedulers': as it was" in said
