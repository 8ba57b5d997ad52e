"""XSepConv2d in PyTorch's ways of using a layer."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from doconv_core import messages
from doconv_torch import XSepConv2d, convert, fold, get_state, set_state, summary
from tests.torch_adapter.helpers import train

pytestmark = [
    # torch 2.13 deprecates its older tracers; they still have users.
    pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated"),
]


def images(size: int = 9) -> Tensor:
    return torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(1))


def trained(**given: Any) -> XSepConv2d:
    torch.manual_seed(0)
    layer = XSepConv2d(4, 5, **{"stride": 2, "corner": 1, "D_mul": "K", **given})
    return train(layer).eval()


def test_at_birth_an_over_parameterized_layer_is_the_plain_one() -> None:
    torch.manual_seed(0)
    plain = XSepConv2d(4, 5)
    torch.manual_seed(0)
    assert torch.equal(XSepConv2d(4, 5, D_mul="K")(images()), plain(images()))
    assert torch.equal(convert(plain)(images()), plain(images()))


def test_the_state_keys() -> None:
    assert list(XSepConv2d(4, 5).state_dict()) == [
        "square.weight",
        "horizontal.weight",
        "vertical.weight",
        "vertical.bias",
    ]


def test_device_and_type_reach_the_parameters() -> None:
    layer = XSepConv2d(4, 5, device="meta", dtype=torch.float64, D_mul=9)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float64)}


def test_bad_sizes_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match=re.escape(messages.neighbours.not_separable(3))):
        XSepConv2d(4, 3)


def by_state_dict(layer: XSepConv2d) -> XSepConv2d:
    other = XSepConv2d(4, 5, 2, corner=1, D_mul="K")
    other.load_state_dict(layer.state_dict())
    return other


def by_neutral_state(layer: XSepConv2d) -> XSepConv2d:
    other = XSepConv2d(4, 5, 2, corner=1, D_mul="K")
    set_state(other, get_state(layer))
    return other


def by_saved_module(layer: XSepConv2d) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS: dict[str, Callable[[XSepConv2d], Any]] = {
    "fold": lambda layer: layer.fold(),
    "fold of the model": lambda layer: fold(nn.Sequential(layer)),
    "state_dict": by_state_dict,
    "neutral state": by_neutral_state,
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "save": by_saved_module,
    "compile": lambda layer: torch.compile(layer, fullgraph=True, backend="aot_eager"),
    "export": lambda layer: torch.export.export(layer, (images(),)).module(),
    "fx": torch.fx.symbolic_trace,
    "script": torch.jit.script,
    "folded, then script": lambda layer: torch.jit.script(layer.fold()),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_every_way_leads_to_the_same_output(way: Callable[[XSepConv2d], Any]) -> None:
    layer = trained()
    torch.testing.assert_close(way(layer)(images()), layer(images()))


# torch 2.13's ONNX exporter uses deprecated parts of torch and of onnxscript.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])
def test_onnx(folded: bool, tmp_path: Path) -> None:
    layer, x = trained(), images()
    path = tmp_path / "layer.onnx"
    torch.onnx.export(layer.fold() if folded else layer, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_plain_checkpoint_loads_into_an_over_parameterized_layer() -> None:
    plain, layer = trained(D_mul=None), trained(D_mul=11)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer(images()), plain(images()))


def test_convert_may_take_one_of_the_three() -> None:
    model = convert(nn.Sequential(XSepConv2d(4, 5)), where=lambda name, _: name == "0.square")
    assert list(get_state(model)) == ["0.square"]
    assert isinstance(fold(train(model))[0].square, nn.Conv2d)


def test_summary_has_a_row_for_each_of_the_three() -> None:
    rows = summary(XSepConv2d(8, 5, stride=2, D_mul="K"), torch.zeros(1, 8, 14, 14))
    assert [(row.name, row.K, row.S) for row in rows] == [
        ("square", 4, 4),
        ("horizontal", 5, 5),
        ("vertical", 5, 5),
    ]
    plain = sum(row.macs[0] for row in rows if row.macs)
    assert plain == 8 * (4 * 14 * 14 + 5 * 14 * 7 + 5 * 7 * 7)


def test_gradients_reach_every_parameter() -> None:
    layer = trained(D_mul=11)
    layer(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("D_mul", [None, "K"])
def test_features_keep_their_variance_at_birth(D_mul: Any) -> None:
    torch.manual_seed(0)
    layer, x = XSepConv2d(256, 7, bias=False, D_mul=D_mul), torch.randn(4, 256, 32, 32)
    for start in (lambda: None, layer.reset_parameters):
        start()
        inner = layer(x)[:, :, 8:-8, 8:-8]  # without the zeros around
        assert inner.var().item() == pytest.approx(1, abs=0.1)


def test_on_the_meta_device_it_starts_when_it_has_memory() -> None:
    layer = XSepConv2d(8, 5, device="meta", D_mul="K").to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(torch.ones(1, 8, 9, 9)).isfinite().all()
