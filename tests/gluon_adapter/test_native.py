"""The core's compiled kernel in Gluon: in what is executed, not in what is shown and exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from doconv_core.native import library, products
from doconv_gluon import DOConv2D
from doconv_gluon.tensors import native
from doconv_gluon.tensors.forms import Form
from tests.gluon_adapter.helpers import disturb, in_child

import mxnet as mx  # isort: skip
from mxnet import autograd  # isort: skip

pytestmark = pytest.mark.skipif(not products.is_available(), reason=library.status())

COMPOSED = "doconv_compose"
PRODUCT = "_linalg_gemm"


def network(**given: Any) -> Any:
    net = mx.gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(DOConv2D(6, 3, in_channels=4, **given), DOConv2D(8, 3, groups=2, in_channels=6))
    net.initialize(mx.init.Xavier())
    return disturb(net)


def operators(graph: Any) -> set[str]:
    nodes = json.loads(graph.tojson())["nodes"]
    return {each.get("attrs", {}).get("op_type", each["op"]) for each in nodes}


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The operators of each graph that is made for execution."""
    found, make = [], mx.nd.CachedOp

    def noted(graph: Any, *args: Any) -> Any:
        found.append(operators(graph))
        return make(graph, *args)

    monkeypatch.setattr(mx.nd, "CachedOp", noted)
    return found


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
def test_it_is_in_what_is_executed_and_not_in_what_is_shown(
    executed: list[set[str]], tmp_path: Path
) -> None:
    net, x = network(), mx.nd.random.normal(shape=(2, 4, 8, 8))
    shown = operators(net(mx.sym.var("data")))
    net.hybridize()
    y = net(x)
    (graph,) = executed
    assert (COMPOSED in graph, PRODUCT in graph) == (True, False)
    assert shown == operators(net._cached_graph[1])
    assert (COMPOSED in shown, PRODUCT in shown) == (False, True)
    path = str(tmp_path / "net")
    net.export(path)
    assert COMPOSED not in Path(f"{path}-symbol.json").read_text()
    block = mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    np.testing.assert_allclose(block(x).asnumpy(), y.asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "given", [{"D_mul": 10}, {"composition": "feature"}], ids=["D_mul", "feature"]
)
def test_what_it_does_not_know_goes_the_usual_way(
    executed: list[set[str]], given: dict[str, Any]
) -> None:
    layer = DOConv2D(6, 3, in_channels=4, **given)
    layer.initialize()
    layer.hybridize()
    layer(mx.nd.ones((1, 4, 8, 8)))
    assert [COMPOSED in graph for graph in executed] == [False]


def test_a_network_that_waits_for_its_input_s_channels_knows_them_then(
    executed: list[set[str]],
) -> None:
    layer = DOConv2D(6, 3)
    layer.initialize()
    layer.hybridize()
    layer(mx.nd.ones((1, 4, 8, 8)))
    assert [COMPOSED in graph for graph in executed] == [True]


def test_a_plain_network_s_graph_is_left_alone(executed: list[set[str]]) -> None:
    net = mx.gluon.nn.Conv2D(6, 3, in_channels=4)
    net.initialize()
    net.hybridize()
    net(mx.nd.ones((1, 4, 8, 8)))
    assert executed == [operators(net._cached_graph[1])]


WAYS: dict[str, Callable[[Any], None]] = {
    "imperative": lambda net: None,
    "hybridized": lambda net: net.hybridize(),
    "static": lambda net: net.hybridize(static_alloc=True, static_shape=True),
}


def gradients(hybridize: Callable[[Any], None], request: str) -> list[np.ndarray]:
    """After two passes, of every parameter that has one; one D is frozen."""
    mx.random.seed(0)
    net = network()
    net.collect_params().setattr("grad_req", request)
    net[1].D.grad_req = "null"
    hybridize(net)
    x = mx.nd.random.normal(shape=(2, 4, 8, 8))
    for _ in range(2):
        with autograd.record():
            loss = net(x).square().mean()
        loss.backward()
    parameters = net.collect_params().values()
    return [p.grad().asnumpy() for p in parameters if p.grad_req != "null"]


@pytest.mark.parametrize("request_", ["write", "add"])
@pytest.mark.parametrize("hybridize", WAYS.values(), ids=WAYS)
def test_the_gradients_are_those_of_the_usual_way(
    hybridize: Callable[[Any], None], request_: str
) -> None:
    found = gradients(hybridize, request_)
    with products.unused():
        expected = gradients(hybridize, request_)
    assert len(found) == len(expected) == 5
    for actual, usual in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, usual, rtol=1e-4, atol=1e-5)


def test_a_graph_of_a_cpu_says_that_it_is_one() -> None:
    made = native._Properties("1", "OIk")
    with pytest.raises(RuntimeError, match=r"hybridize\(\) again"):
        made.create_operator("gpu(0)", [(4, 3, 3, 3), (3, 9, 9)], [np.float32] * 2)


# --- devices: there is none but the CPU here, so what MXNet says of them is made up ------------


@pytest.mark.parametrize("known", [True, False], ids=["known", "deferred"])
@pytest.mark.parametrize("where", [[mx.gpu()], [mx.cpu(), mx.gpu(1)]], ids=["gpu", "both"])
def test_a_network_on_another_device_goes_the_usual_way(
    executed: list[set[str]], monkeypatch: pytest.MonkeyPatch, where: list[Any], known: bool
) -> None:
    layer = DOConv2D(6, 3, in_channels=4 if known else 0)
    layer.initialize()
    layer.hybridize()
    with monkeypatch.context() as patch:
        patch.setattr(mx.gluon.Parameter, "list_ctx", lambda self: where)
        layer._build_cache(mx.nd.ones((1, 4, 8, 8)))
    assert [COMPOSED in graph for graph in executed] == [False]


def test_arrays_on_another_device_go_the_usual_way() -> None:
    form = Form(6, (3, 3), 1, 9, transposed=False, channels_last=False)
    for context, expected in [(mx.cpu(1), True), (mx.gpu(), False)]:
        weight = SimpleNamespace(context=context)
        assert native.fits(mx.nd, form, weight, np.float32) is expected


def test_python_may_fork_while_it_computes() -> None:
    """MXNet waits for it then, and would wait for Python with it."""
    code = """
import os
from doconv_gluon import convert
from doconv_gluon.mxnet import mx
net = mx.gluon.nn.HybridSequential()
for _ in range(6):
    net.add(mx.gluon.nn.Conv2D(64, 3, padding=1, in_channels=64))
net.initialize()
net = convert(net)
with mx.autograd.record():
    loss = net(mx.nd.ones((4, 64, 48, 48))).mean()
loss.backward()
if child := os.fork():
    os.waitpid(child, 0)
    print(loss.asscalar() != 0)
else:
    os._exit(0)
"""
    assert in_child(code, timeout=120) == "True"


def test_python_may_end_while_it_computes() -> None:
    """It is called in threads of MXNet's: where Python was gone, most often none of them ended."""
    code = """
from doconv_gluon import DOConv2D
from doconv_gluon.mxnet import mx
layer = DOConv2D(128, 3, in_channels=128)
layer.initialize()
slow = mx.nd.ones((384, 384))
for _ in range(20):
    for _ in range(4):
        slow = mx.nd.dot(slow, slow) * 0
    layer.weight.set_data(slow.reshape((128, 128, 3, 3)))
    layer.composed_kernel()
"""
    assert in_child(code, timeout=120) == ""
