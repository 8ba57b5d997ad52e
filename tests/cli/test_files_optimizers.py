"""Optimizers' states that are easily mistaken: parametrized layers, equal sizes, D within.

What is common is in test_files_everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch's files need torch")
import torch
from torch import nn

import doconv_torch
from doconv_torch import OptimizerDOConv
from tests.cli.command import fail, succeed
from tests.cli.torch_models import assert_same, load, trained

Groups = Callable[[nn.Module], Any]
"""What an optimizer is given of a model."""

SGD, ADAM = torch.optim.SGD, torch.optim.Adam
REFUSED = "neither names nor the sizes of their momenta tell which are of the layers that change"


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return SGD(parameters, 0.1, momentum=0.9)


def by_decay(model: nn.Module) -> list[dict[str, Any]]:
    many = [p for p in model.parameters() if p.ndim > 1]
    few = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": many}, {"params": few, "weight_decay": 0.0}]


def by_layer(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": list(layer.parameters())} for layer in reversed(list(model.children()))]


def D_apart(model: nn.Module) -> list[dict[str, Any]]:
    """As docs/recipes.md leaves weight decay out for D."""
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": 1e-4},
        {"params": [], "weight_decay": 0.0},
    ]
    for name, parameter in model.named_parameters():
        groups[name.endswith((".D", ".W_extra"))]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def D_first(model: nn.Module) -> list[dict[str, Any]]:
    return D_apart(model)[::-1]


def D_last(model: nn.Module) -> Any:
    return [p for group in D_apart(model) for p in group["params"]]


def weight_apart(model: nn.Module) -> list[dict[str, Any]]:
    """The first layer's bias in a group of its own, behind all others."""
    first, bias, *others = model.parameters()
    return [{"params": [first, *others]}, {"params": [bias]}]


def in_one(model: nn.Module) -> Any:
    return model.parameters()


def named(model: nn.Module) -> Any:
    return list(model.named_parameters())


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A gradient of its own for each parameter that has one, and of each number in it."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    optimizer.step()


def saved(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Path:
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return path


# --- parametrized layers: their bias comes first, a plain layer's weight ------------------


class Standardized(nn.Conv2d):
    """As weight standardization subclasses it; convert parametrizes its weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


def standardized() -> nn.Sequential:
    first, last = Standardized(3, 6, 3), Standardized(6, 4, 3, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3), last)


PARAMETRIZED: dict[str, Groups] = {
    "model": in_one, "names": named, "by decay": by_decay, "D's apart": D_apart, "D's last": D_last,
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"D_mul": 14}], ids=["D_mul=K", "D_mul=14"])
@pytest.mark.parametrize("groups", PARAMETRIZED.values(), ids=PARAMETRIZED.keys())
def test_a_parametrized_layer_gets_the_plain_one_s_order(
    tmp_path: Path, groups: Groups, options: dict[str, int]
) -> None:
    model = trained(standardized(), subclasses="parametrize", **options)
    made = momentum(groups(model))
    step(model, made)
    succeed("fold", saved(tmp_path / "file.pt", model, made), tmp_path / "out.pt")
    out = load(tmp_path / "out.pt")
    plain = standardized()
    assert list(out["model"]) == list(plain.state_dict())
    plain.load_state_dict(out["model"])
    fresh = momentum(groups(plain))
    fresh.load_state_dict(out["optimizer"])
    before = {
        name.replace("parametrizations.weight.original", "weight"): made.state[p]
        for name, p in model.named_parameters()
    }
    for name, parameter in plain.named_parameters():
        kept = fresh.state[parameter]["momentum_buffer"]
        assert torch.equal(kept, before[name]["momentum_buffer"]), name
    step(plain, fresh)


# --- sizes that several parameters have ---------------------------------------------------


def twins(bias: bool = False) -> nn.Sequential:
    """Every weight is of the size of every D."""
    return nn.Sequential(nn.Conv1d(3, 3, 3, bias=bias), nn.Conv1d(3, 3, 3, bias=bias))


def one(bias: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(3, 3, 3, bias=bias))


AMBIGUOUS: dict[str, tuple[nn.Module, Groups]] = {
    "D's apart": (twins(), D_apart),
    "D's apart, biases": (twins(bias=True), D_apart),
    "by layer": (twins(), by_layer),
    "in one group": (twins(), in_one),
    "D's last in one group": (twins(), D_last),
    "D first": (one(), D_first),
    "D first, bias": (one(bias=True), D_first),
    "parametrized, by layer": (nn.Sequential(Standardized(3, 6, 3), nn.Linear(4, 5)), by_layer),
    "parametrized, by layer, of which one has a bias": (  # fits "biases first" by accident
        nn.Sequential(Standardized(8, 4, 3, bias=False), Standardized(8, 4, 3)),
        by_layer,
    ),
}


@pytest.mark.parametrize(("plain", "groups"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_sizes_do_not_tell_is_not_guessed(
    tmp_path: Path, plain: nn.Module, groups: Groups
) -> None:
    model = trained(plain, subclasses="parametrize")
    made = momentum(groups(model))
    step(model, made)
    file, out = saved(tmp_path / "file.pt", model, made), tmp_path / "out.pt"
    assert f"{REFUSED}; pass --drop-optimizer" in fail(2, "fold", file, out)
    succeed("fold", file, out, "--drop-optimizer")
    assert list(load(out)) == ["model"]


@pytest.mark.parametrize("has_one", [False, True], ids=["neither", "the other"])
def test_a_D_without_a_momentum_is_not_mistaken_for_what_has_one(
    tmp_path: Path, has_one: bool
) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 5)))
    other = nn.Parameter(torch.randn(3, 9, 9))  # of D's size
    model[1].register_parameter("embedding", other)
    model[0].requires_grad_(False)
    other.requires_grad_(has_one)
    made = momentum(by_layer(model))
    step(model, made)
    file = saved(tmp_path / "file.pt", model, made)
    assert REFUSED in fail(2, "fold", file, tmp_path / "out.pt")


TOLD: dict[str, tuple[Groups, Callable[[Any], torch.optim.Optimizer]]] = {
    "names": (named, momentum),
    "without momenta in one group": (in_one, lambda parameters: SGD(parameters, 0.1)),
}


@pytest.mark.parametrize(("groups", "optimizer"), TOLD.values(), ids=TOLD.keys())
def test_equal_sizes_matter_only_where_something_depends_on_them(
    tmp_path: Path, groups: Groups, optimizer: Callable[[Any], torch.optim.Optimizer]
) -> None:
    model = trained(twins())
    made = optimizer(groups(model))
    step(model, made)
    succeed("fold", saved(tmp_path / "file.pt", model, made), tmp_path / "out.pt")
    plain = twins()
    fresh = optimizer(groups(plain))
    fresh.load_state_dict(load(tmp_path / "out.pt")["optimizer"])
    for layer, was in zip(plain, model, strict=True):
        kept, expected = fresh.state[layer.weight], made.state[was.weight]
        assert kept.keys() == expected.keys()
        assert all(
            torch.equal(kept[key], value) for key, value in expected.items() if value is not None
        )


CONVERTED: dict[str, tuple[nn.Module, Groups, str]] = {
    "one of equal weights": (
        nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.Conv2d(4, 4, 3, bias=False)),
        by_layer, "0=1",
    ),
    "a bias as large as a norm": (  # fits "biases last" by accident
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3)), by_layer, "1",
    ),
    "a weight without its bias": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(3, 4)), weight_apart, "1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "groups", "said"), CONVERTED.values(), ids=CONVERTED.keys())
def test_where_a_D_would_go_is_not_guessed(
    tmp_path: Path, model: nn.Module, groups: Groups, said: str
) -> None:
    made = momentum(groups(model))
    step(model, made)
    file = saved(tmp_path / "file.pt", model, made)
    assert REFUSED in fail(2, "convert", file, tmp_path / "out.pt", "--groups", said)


def test_convert_of_equal_layers_in_groups_needs_no_order(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    made = momentum(by_layer(model))
    step(model, made)
    file, out = saved(tmp_path / "file.pt", model, made), tmp_path / "out.pt"
    succeed("convert", file, out, "--groups", "1")
    converted = doconv_torch.convert(model)
    fresh = momentum(by_layer(converted))
    fresh.load_state_dict(load(out)["optimizer"])
    for layer, was in zip(converted, model, strict=True):
        for name in ("weight", "bias"):
            kept, expected = (
                optimizer.state[getattr(each, name)]["momentum_buffer"]
                for optimizer, each in ((fresh, layer), (made, was))
            )
            assert torch.equal(kept, expected)


def test_which_of_two_models_an_optimizer_is_of_is_not_guessed(tmp_path: Path) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3)))
    made = momentum(model.parameters())
    step(model, made)
    content = {"ema": model.state_dict(), "model": model.state_dict().copy()}
    torch.save({**content, "optimizer": made.state_dict()}, tmp_path / "file.pt")
    assert REFUSED in fail(2, "fold", tmp_path / "file.pt", tmp_path / "out.pt", "--only", "ema")
    succeed("fold", tmp_path / "file.pt", tmp_path / "out.pt")  # both alike


# --- D at the optimizer -------------------------------------------------------------------


def network() -> nn.Sequential:
    """With and without a bias; of the sizes of a D; one that gets no gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=2, bias=False),
        nn.Conv1d(3, 3, 3, bias=False), nn.Conv1d(3, 3, 3), nn.Conv2d(6, 4, 3), nn.Conv2d(4, 4, 1),
    )  # fmt: skip
    net[0].bias.requires_grad_(False)
    net[5].requires_grad_(False)
    return net


AT_OPTIMIZER: dict[str, Groups] = {
    "model": in_one, "names": named, "by decay": by_decay, "by layer": by_layer,
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, 0.1),
    "SGD momentum": momentum,
    "Adam": lambda parameters: ADAM(parameters, 0.1),
    "Adafactor": lambda parameters: torch.optim.Adafactor(parameters, 0.1),
}


@pytest.mark.parametrize("D_mul", [None, 14])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("groups", AT_OPTIMIZER.values(), ids=AT_OPTIMIZER.keys())
def test_fold_takes_D_out_of_the_optimizer_as_remove_does(
    tmp_path: Path,
    groups: Groups,
    optimizer: Callable[[Any], torch.optim.Optimizer],
    D_mul: int | None,
) -> None:
    model = network()
    made = optimizer(groups(model))
    over = OptimizerDOConv(model, made, D_mul=D_mul)
    step(model, made)
    done = succeed("fold", saved(tmp_path / "file.pt", model, made), tmp_path / "out.pt", "--json")
    assert done.json["folded"] == []
    (note,) = done.json["notes"]
    assert re.match(r"optimizer 'optimizer': \d+ parameters of D removed", note)
    out = load(tmp_path / "out.pt")
    assert_same(out["model"], model.state_dict())
    over.remove()
    expected = made.state_dict()
    assert out["optimizer"].keys() == expected.keys()
    assert out["optimizer"]["param_groups"] == expected["param_groups"]
    assert out["optimizer"]["state"].keys() == expected["state"].keys()
    for number, entry in expected["state"].items():
        kept = out["optimizer"]["state"][number]
        assert kept.keys() == entry.keys()
        for key, value in entry.items():
            assert kept[key] is None if value is None else torch.equal(kept[key], value), number


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, nn.Module, OptimizerDOConv]:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    made = momentum(model.parameters())
    over = OptimizerDOConv(model, made)
    step(model, made)
    return saved(tmp_path / "run.pt", model, made), model, over


def test_inspect_shows_the_plain_model_and_where_D_is(run: Any) -> None:
    shown = succeed("inspect", run[0], "--json")
    assert [(row["name"], row["kind"]) for row in shown.json["layers"]] == [
        ("0", "plain"), ("1", "plain"),
    ]  # fmt: skip
    assert shown.json["at_optimizer"] == ["optimizer"]
    assert shown.json["unplaced"] == []
    said = "note: the model is plain, and over-parameterized at the optimizer (OptimizerDOConv): "
    assert shown.err == said + "'optimizer'\n"


def test_convert_asks_what_to_do_with_D_at_the_optimizer(tmp_path: Path, run: Any) -> None:
    file, model, _ = run
    out, again = tmp_path / "out.pt", tmp_path / "again.pt"
    error = fail(2, "convert", file, out, "--groups", "1")
    assert "D is at the optimizer 'optimizer'" in error
    assert "pass --drop-optimizer to leave it out, or fold the file first" in error
    succeed("convert", file, out, "--groups", "1", "--drop-optimizer")
    converted = doconv_torch.convert(model)
    assert_same(load(out)["model"], converted.state_dict())
    assert list(load(out)) == ["model"]
    succeed("fold", file, again, "--verify")
    succeed("convert", again, out, "--groups", "1")
    momentum(converted.parameters()).load_state_dict(load(out)["optimizer"])


def test_an_optimizer_s_state_alone_is_folded(tmp_path: Path, run: Any) -> None:
    file, out = tmp_path / "optimizer.pt", tmp_path / "out.pt"
    torch.save(load(run[0])["optimizer"], file)
    assert succeed("inspect", file, "--json").json["at_optimizer"] == [""]
    succeed("fold", file, out)
    momentum(run[1].parameters()).load_state_dict(load(out))
    assert "optimizer's state and nothing else" in fail(2, "fold", file, out, "--drop-optimizer")


def test_W_and_D_that_were_saved_apart_are_named(tmp_path: Path, run: Any) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "out.pt"
    torch.save({**load(run[0]), "over": run[2].state_dict()}, file)
    shown = succeed("inspect", file, "--json")
    assert shown.json["unplaced"] == ["over/0/D", "over/1/D"]
    assert "a D would remain in OUT" in fail(1, "fold", file, out)
    succeed("fold", file, out, "--only", "model")
    assert_same(load(out)["model"], run[1].state_dict())
