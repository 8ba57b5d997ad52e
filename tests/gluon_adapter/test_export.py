"""Folded, a network is handed on as the plain one would be; unfolded, correctly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
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
