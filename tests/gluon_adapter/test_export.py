"""Folded, a network is handed on as the plain one would be; unfolded, correctly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import disturb, nn
from tests.star.backends.backend_gluon import ndarray

# MXNet 1.9.1's: of SymbolBlock, which asks for types before anything is known.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")

X = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)


def network() -> Any:
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(64, 3, padding=1, in_channels=3, activation="relu"),
            nn.BatchNorm(in_channels=64),
            nn.Conv2D(64, 3, groups=64, use_bias=False, in_channels=64),
            nn.Conv2D(8, 3, strides=2, groups=2, in_channels=64),
            nn.Conv2DTranspose(4, 2, strides=2, in_channels=8),
            nn.Dense(3, in_units=64),
        )
    net.initialize(mx.init.Xavier())
    return net


def exported(net: Any, path: Path) -> tuple[str, str]:
    net.hybridize()
    net(ndarray(X))
    net.export(str(path))
    return f"{path}-symbol.json", f"{path}-0000.params"


def operators(symbol: str) -> Counter[str]:
    return Counter(node["op"] for node in json.loads(Path(symbol).read_text())["nodes"])


def by_symbol_block(symbol: str, params: str) -> np.ndarray:
    return mx.gluon.SymbolBlock.imports(symbol, ["data"], params)(ndarray(X)).asnumpy()


def by_module(symbol: str, params: str) -> np.ndarray:
    """What served MXNet's models before Gluon."""
    graph, arguments, auxiliary = mx.model.load_checkpoint(symbol.removesuffix("-symbol.json"), 0)
    module = mx.mod.Module(graph, label_names=None)
    module.bind([("data", X.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([ndarray(X)]), is_train=False)
    return module.get_outputs()[0].asnumpy()


RUNTIMES = pytest.mark.parametrize("run", [by_symbol_block, by_module])


@pytest.mark.integration("symbol and params", "fold", "export")
@RUNTIMES
def test_a_folded_network_is_exported_as_the_plain_one(run: Any, tmp_path: Path) -> None:
    plain = network()
    net = disturb(convert(plain))
    expected = net(ndarray(X)).asnumpy()
    files, folded = exported(plain, tmp_path / "plain"), exported(fold(net), tmp_path / "folded")
    assert operators(folded[0]) == operators(files[0])
    np.testing.assert_allclose(run(*folded), expected, rtol=1e-4, atol=1e-5)
    assert abs(run(*folded) - run(*files)).max() > 1e-3


@pytest.mark.integration("symbol and params", export="unfolded: correct, and can no more be folded")
@RUNTIMES
def test_an_unfolded_one_computes_the_same(run: Any, tmp_path: Path) -> None:
    net = disturb(convert(network()))
    expected = net(ndarray(X)).asnumpy()
    files = exported(net, tmp_path / "net")
    assert operators(files[0])["_linalg_gemm"] > 0
    np.testing.assert_allclose(run(*files), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def onnx_of_mxnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """MXNet 1.9.1 reads two tables that onnx 1.19 has dropped; 1.18 and older have them."""
    types = {onnx.helper.np_dtype_to_tensor_dtype(np.dtype(t)): np.dtype(t) for t in ("f4", "i8")}
    tables = ModuleType("onnx.mapping")
    tables.TENSOR_TYPE_TO_NP_TYPE = types  # type: ignore[attr-defined]
    tables.NP_TYPE_TO_TENSOR_TYPE = {v: k for k, v in types.items()}  # type: ignore[attr-defined]
    monkeypatch.setattr(onnx, "mapping", tables, raising=False)


def to_onnx(net: Any, path: Path) -> Any:
    path = path.with_suffix(".onnx")
    mx.onnx.export_model(
        *exported(net, path),
        in_shapes=[(1, *X.shape[1:])],
        in_types=[np.float32],
        dynamic=True,
        dynamic_input_shapes=[(None, *X.shape[1:])],
        onnx_file_path=str(path),
    )
    model = onnx.load(path)
    # MXNet writes operators of set 13, and marks them with the newest that onnx knows.
    model.ir_version, model.opset_import[0].version = 8, 13
    return model


@pytest.mark.integration("ONNX from MXNet", "fold", "export")
@pytest.mark.usefixtures("onnx_of_mxnet")
def test_a_folded_network_is_the_plain_one_in_onnx_too(tmp_path: Path) -> None:
    plain = network()
    net = disturb(convert(plain))
    expected = net(ndarray(X)).asnumpy()
    models = [to_onnx(n, tmp_path / f"{i}") for i, n in enumerate((plain, fold(net)))]
    kinds = [Counter(node.op_type for node in model.graph.node) for model in models]
    assert kinds[0] == kinds[1]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it tells of every weight that it is among the inputs
    session = onnxruntime.InferenceSession(
        models[1].SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"data": X})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.integration("ONNX from MXNet", export="unfolded: refused by MXNet; fold first")
@pytest.mark.usefixtures("onnx_of_mxnet")
def test_an_unfolded_one_is_refused_by_mxnet(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"No conversion function .* _linalg_gemm"):
        to_onnx(disturb(convert(network())), tmp_path / "net")
