"""What convert, fold and summary say, and refuse, at the border to other people's models."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from doconv_core import messages
from doconv_torch import CondConv2d, DOConv2d, OptimizerDOConv, convert, fold, summary
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import ConvSame, images, network, train, trained_network

# --- fold that finds nothing ----------------------------------------------------------------


class Traced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = DOConv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu()


LEFT: dict[str, Callable[[], nn.Module]] = {
    "fx": lambda: torch.fx.symbolic_trace(Traced()),
    "fx of a converted model": lambda: torch.fx.symbolic_trace(convert(nn.Sequential(network()))),
    "export": lambda: torch.export.export(Traced(), (images(),)).module(),
}


@pytest.mark.parametrize("build", LEFT.values(), ids=LEFT)
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated")  # torch's own
def test_fold_tells_of_D_that_no_layer_holds(build: Any) -> None:
    with pytest.warns(UserWarning, match="found no layer to fold, but .* Fold the model before"):
        fold(build())


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated")
def test_a_scripted_part_is_no_matter() -> None:
    model = nn.Sequential(torch.jit.script(Halved()), nn.Conv2d(3, 8, 3))
    assert [row.name for row in summary(model)] == ["1"]
    OptimizerDOConv(model, torch.optim.SGD(model.parameters(), 0.1)).remove()
    converted = train(convert(model))
    assert type(converted[1]) is DOConv2d
    torch.testing.assert_close(fold(converted)(images()), converted(images()))


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "part"])
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated")
def test_of_a_scripted_layer_too(inside: bool) -> None:
    scripted = torch.jit.script(nn.Sequential(DOConv2d(3, 8, 3)))
    with pytest.warns(UserWarning, match="found no layer to fold, but .* Fold the model before"):
        fold(nn.Sequential(scripted) if inside else scripted)


class Mamba(nn.Module):
    """Another D, of a model that has nothing to do with this one."""

    def __init__(self) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.ones(8))
        self.scan = nn.Conv1d(8, 8, 4, groups=8)
        self.scan.D = nn.Parameter(torch.ones(8, 3, 3))


def test_another_D_is_no_matter() -> None:
    fold(Mamba())
    fold(network())


# --- large kernels --------------------------------------------------------------------------


def large() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 31, padding=15, groups=64), nn.Conv2d(64, 8, 5)
    )


def test_a_D_that_outweighs_the_model_is_told_with_its_figure_and_the_way_out() -> None:
    model = large()
    plain = sum(p.numel() for p in model.parameters())
    with pytest.warns(UserWarning, match=r"max_kernel_elements=25") as found:
        converted = convert(model, inplace=True)
    added = sum(p.numel() for p in converted.parameters()) - plain
    (said,) = (str(w.message) for w in found)
    assert said == messages.model.large_D(added, plain, 2, "1")


def test_max_kernel_elements() -> None:
    model = convert(large(), max_kernel_elements=25)
    assert [hasattr(layer, "D") for layer in model] == [True, False, True]
    with pytest.raises(ValueError, match="`max_kernel_elements` must be a positive integer"):
        convert(large(), max_kernel_elements=0)


# --- reasons --------------------------------------------------------------------------------


def test_reasons_hold_whatever_was_asked_for_subclasses() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), ConvSame(4, 4, 1), ConvSame(4, 4, 2))
    model = convert(model, subclasses="parametrize", where=["0"])
    reasons = [row.reason for row in summary(model)]
    assert reasons == ["", messages.model.POINTWISE, torch_messages.OWN_FORWARD]
    assert 'subclasses="parametrize"' in reasons[2]


class CondConv(nn.Module):
    """A convolution of another library: no subclass of torch's (timm's CondConv2d)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3 * 4 * 9))
        self.kernel_size = 3

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_convolutions_of_other_libraries_have_a_row() -> None:
    rows = summary(nn.Sequential(CondConv(), nn.Conv2d(3, 4, 3)), images())
    assert [row.reason for row in rows] == [torch_messages.OTHER_CLASS, "not converted"]
    assert rows[0].kind == "CondConv"


def test_most_layers_left_for_one_reason() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), *(ConvSame(3, 3, 2) for _ in range(2)))
    said = messages.model.mostly_left(2, 1, torch_messages.OWN_FORWARD)
    with pytest.warns(UserWarning, match="over-parameterized 1 convolution") as found:
        convert(model)
    assert [str(w.message) for w in found] == [said]
    convert(nn.Sequential(*network()[:1], *(nn.Conv2d(8, 8, 1) for _ in range(5))))


WHERE: dict[str, tuple[Any, list[str]]] = {
    "name": ("6", ["6"]),
    "names": (["0", "7"], ["0", "7"]),
    "holder": (["body"], ["body.0", "body.3", "body.6", "body.7"]),
}


@pytest.mark.parametrize(("where", "expected"), WHERE.values(), ids=WHERE)
def test_where_takes_names(where: Any, expected: Sequence[str]) -> None:
    model = nn.ModuleDict({"body": network()}) if where == ["body"] else network()
    found = [row.name for row in summary(convert(model, where=where)).converted]
    assert found == list(expected)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    assert list(OptimizerDOConv(model, optimizer, where=where).state_dict()) == expected


def test_where_that_names_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"must be that of a convolution.*Received: name='layer9'"):
        convert(network(), where=["layer9"])
    with pytest.raises(TypeError, match="must be a function"):
        convert(network(), where=4)


def test_D_mul_in_words() -> None:
    model = convert(nn.Sequential(nn.Conv2d(3, 4, 3), CondConv2d(4, 4, 3)), D_mul="K")
    assert [layer.D_mul for layer in model] == [9, 9]
    assert DOConv2d(3, 4, 3, D_mul="K").D_mul == 9
    assert DOConv2d.from_conv(nn.Conv2d(3, 4, 3), D_mul="K").D_mul == 9


class Keyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, *, pixel_values: Tensor) -> Tensor:
        return self.conv(pixel_values)


def test_summary_of_a_model_with_keyword_inputs() -> None:
    (row,) = summary(Keyword(), {"pixel_values": images()})
    assert row.macs is not None
    assert row.macs[0] == 4 * 27 * 36 * 2


# --- distributed ----------------------------------------------------------------------------


@pytest.fixture
def one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_below_a_wrapper_nothing_is_converted_in_place() -> None:
    wrapped = DistributedDataParallel(nn.Sequential(network()))
    before = list(wrapped.parameters())
    for model in (wrapped.module, wrapped.module[0], wrapped.module[0][0]):
        with pytest.raises(ValueError, match=r"holds these parameters.*DistributedDataParallel"):
            convert(model, inplace=True)
    assert list(map(id, wrapped.parameters())) == list(map(id, before))
    convert(wrapped.module)  # a copy is another model
    convert(network(), inplace=True)
    del wrapped
    convert(model, inplace=True)


# --- at the optimizer -----------------------------------------------------------------------


def test_a_network_is_not_over_parameterized_twice() -> None:
    model = network()
    over = OptimizerDOConv(model, torch.optim.SGD(model.parameters(), 0.1), where=["6"])
    with pytest.raises(ValueError, match=r"cannot convert layer '6' in place.*remove\(\)"):
        convert(model, inplace=True)
    assert not any(hasattr(layer, "D") for layer in model)
    convert(model)  # a copy, from the kernels as they are
    over.remove()
    convert(model, inplace=True)


# --- resuming after a late conversion ------------------------------------------------------

GROUPS: dict[str, Callable[[nn.Module], Any]] = {
    "one": lambda model: model.parameters(),
    "named": lambda model: model.named_parameters(),
    "decay": lambda model: [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ],
    "halves": lambda model: [
        {"params": list(model[:6].parameters())},
        {"params": list(model[6:].parameters()), "lr": 0.02},
    ],
}


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    optimizer.zero_grad()
    model(images(seed=seed)).square().mean().backward()
    optimizer.step()


def momentum(groups: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, 0.01)


@pytest.mark.integration("torch.optim", "train", "save", "resume")
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("D_mul", [None, 11], ids=["D_mul=K", "D_mul>K"])
def test_a_state_after_a_late_conversion_loads_into_a_fresh_model_s_optimizer(
    groups: Any, D_mul: int | None
) -> None:
    model = network()
    optimizer = momentum(groups(model))
    step(model, optimizer, 0)
    convert(model, inplace=True, optimizer=optimizer, D_mul=D_mul)
    step(model, optimizer, 1)

    fresh = convert(network(), D_mul=D_mul)
    its = momentum(groups(fresh))
    fresh.load_state_dict(model.state_dict())
    its.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for mine, theirs in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(optimizer.state[mine]["exp_avg"], its.state[theirs]["exp_avg"])
    for net, opt in ((model, optimizer), (fresh, its)):
        step(net, opt, 2)
    for mine, theirs in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_of_parametrized_layers_too() -> None:
    model = nn.Sequential(ConvSame(3, 4, 2), nn.Conv2d(4, 4, 3))
    optimizer = momentum(model.parameters())
    model(images()).sum().backward()
    optimizer.step()
    convert(model, inplace=True, optimizer=optimizer, subclasses="parametrize")
    listed = [id(p) for p in optimizer.param_groups[0]["params"]]
    assert listed == [id(p) for p in model.parameters()]


def test_nothing_of_it_warns_for_a_plain_training_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = trained_network()
        step(train(model), momentum(model.parameters()), 0)
        fold(model)
