"""fold: the plain model again, and nothing of ours left in it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from doconv_torch import DOConv2d, convert, fold
from tests.torch_adapter.helpers import everything, images, network, train, trained_network


@pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul>K"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_classes_keys_and_outputs(inplace: bool, D_mul: int | None) -> None:
    plain, trained = network(), trained_network(D_mul=D_mul).eval()
    before = trained(images())
    folded = fold(trained, inplace=inplace)
    assert [type(m) for m in folded.modules()] == [type(m) for m in plain.modules()]
    assert [*map(sorted, map(vars, folded.modules()))] == [*map(sorted, map(vars, plain.modules()))]
    assert list(folded.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(folded(images()), before)
    plain.load_state_dict(folded.state_dict())
    assert torch.equal(plain.eval()(images()), folded(images()))


@pytest.mark.integration("torch.optim", "fold")
def test_a_copy_shares_no_storage_and_changes_nothing_in_the_midst_of_training() -> None:
    model = trained_network(D_mul=11)
    model(images()).sum().backward()
    before = everything(model)
    folded = fold(model)
    assert everything(model) == before
    ours = {p.untyped_storage().data_ptr() for p in model.state_dict().values()}
    theirs = {p.untyped_storage().data_ptr() for p in folded.state_dict().values()}
    assert not ours & theirs
    assert all(p.grad is None for p in folded.parameters())


def test_a_forward_pass_changes_nothing() -> None:
    model = trained_network(D_mul=11).eval()
    before = everything(model)
    model(images())
    assert everything(model) == before


def test_inplace_keeps_the_weight_and_drops_its_gradient() -> None:
    model = trained_network()
    model(images()).sum().backward()
    weight, kernel = model[0].weight, fold(model)[0].weight
    assert fold(model, inplace=True)[0].weight is weight
    assert torch.equal(weight, kernel)
    assert weight.grad is None  # it was the gradient of W


def of_shared_memory() -> nn.Parameter:
    return nn.Parameter(torch.randn(1, 3, 3, 3).expand(8, 3, 3, 3), requires_grad=False)


def of_inference_mode() -> nn.Parameter:
    with torch.inference_mode():
        return nn.Parameter(torch.randn(8, 3, 3, 3), requires_grad=False)


@pytest.mark.parametrize("build", [of_shared_memory, of_inference_mode])
def test_a_weight_that_cannot_be_written_gets_a_successor(build: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    model[0].weight = build()
    model = convert(model, inplace=True)
    for layer in model:
        with torch.inference_mode(layer.D.is_inference()):
            layer.D.normal_() if layer.D.is_inference() else nn.init.normal_(layer.D)
    expected = model(images())
    torch.testing.assert_close(nn.Sequential(*[each.fold() for each in model])(images()), expected)
    assert [type(each) for each in fold(model, inplace=True)] == [nn.Conv2d, nn.Conv2d]
    torch.testing.assert_close(model(images()), expected)
    assert not model[0].weight.requires_grad


class CopiesItself(nn.Conv2d):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        return nn.Conv2d(self.in_channels, self.out_channels, self.kernel_size)  # type: ignore[arg-type]


def test_a_copy_without_D_is_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(CopiesItself(3, 8, 3)))
    model = train(convert(model, inplace=True))
    expected = model(images())
    with pytest.raises(ValueError, match=r"copy\.deepcopy must copy the D of layer '1\.0'"):
        fold(model)
    torch.testing.assert_close(fold(model, inplace=True)(images()), expected)


def test_one_layer() -> None:
    layer = train(DOConv2d(4, 4, 3, D_mul=11))
    folded = layer.fold()
    assert type(folded) is nn.Conv2d
    assert type(layer) is DOConv2d
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(folded(x), layer(x))


def test_no_images() -> None:
    assert fold(trained_network()).eval()(images(0)).shape == (0, 5)


@pytest.mark.integration("pickle, torch.save", "fold")
def test_pickle_is_that_of_the_plain_model_and_needs_no_doconv(tmp_path: Path) -> None:
    plain = network().eval()
    folded = fold(convert(plain))
    assert len(pickle.dumps(folded)) == len(pickle.dumps(plain))
    torch.save(folded, tmp_path / "model.pt")
    script = (
        "import sys, torch\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert not name.startswith('doconv'), name\n"
        "sys.meta_path.insert(0, Absent())\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "print(*(type(m).__name__ for m in model))\n"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [type(m).__name__ for m in plain]


@pytest.mark.parametrize("array", ["weight", "D", "W_extra"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_not_finite(array: str, value: float) -> None:
    model = trained_network(D_mul=20)
    getattr(model[6], array).data.flatten()[3] = value
    before = everything_but_nan(model)
    with pytest.raises(ValueError, match=r"cannot fold layer '6': `[WD]` must be finite"):
        fold(model, inplace=True)
    assert everything_but_nan(model) == before


def everything_but_nan(model: nn.Module) -> str:
    return repr(everything(model))  # NaN is equal to nothing, its text is


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_kernel_that_does_not_fit_its_type(dtype: torch.dtype) -> None:
    model = convert(nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 3, dtype=dtype)))
    with torch.no_grad():
        model[1].weight.fill_(torch.finfo(dtype).max)
        model[1].D.fill_(1)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=f"cannot fold layer '1': .*does not fit.*dtype='{name}'"):
        fold(model)


def test_a_wrong_argument() -> None:
    with pytest.raises(TypeError, match="`model` must be a "):
        fold({"weight": torch.zeros(1)})  # type: ignore[type-var]
    with pytest.raises(TypeError, match="`model` must be a "):
        convert(None)  # type: ignore[type-var]
