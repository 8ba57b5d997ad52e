"""Any order of operations: what converting, folding, copying and saving must never change."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doconv_gluon import CondConv2D, convert, fold, get_state, set_state
from doconv_gluon.layers.copying import copied
from doconv_gluon.model.walk import blocks_once, candidates, over_parameterized
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import ConvSame, nn
from tests.star.backends.backend_gluon import ndarray

# MXNet's, of SymbolBlock: it asks for the types before anything is known.
# And of a block that has a hook and is hybridized.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments"),
    pytest.mark.filterwarnings('ignore:"HybridSequential'),
]

OURS = ("D", "W_extra")


class Conv1x3(nn.Conv2D):
    """A subclass with a constructor of its own."""

    def __init__(self, channels: int, **given: Any) -> None:
        super().__init__(channels, (1, 3), padding=(0, 1), **given)


def network() -> Any:
    """Every kind of layer, a block used twice, two layers of one weight, a graph."""
    data, twice = mx.sym.var("data"), nn.Conv2D(4, 3, padding=1, in_channels=4)
    graph = mx.sym.Convolution(data, num_filter=4, kernel=(3, 3), pad=(1, 1), name="graph")
    first = nn.Conv2D(4, 2, in_channels=4, use_bias=False)
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(4, 3, padding=1, in_channels=3),
            nn.BatchNorm(in_channels=4),
            twice,
            nn.Activation("tanh"),
            twice,
            CondConv2D(4, 3, padding=1, in_channels=4, num_experts=2),
            mx.gluon.SymbolBlock(graph, data),
            Conv1x3(4, in_channels=4, groups=4),
            ConvSame(4, 1, in_channels=4),
            nn.MaxPool2D((2, 1)),
            first,
            nn.Conv2D(4, 2, in_channels=4, use_bias=False, params=first.params),
            nn.Conv2DTranspose(2, 2, strides=2, in_channels=4),
        )
    net.initialize(mx.init.Normal(0.3))
    net(IMAGES)
    return net


IMAGES = ndarray(np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(np.float32))


class Operations(RuleBasedStateMachine):
    """A network, perhaps its Trainer, and what must hold after each operation."""

    def __init__(self) -> None:
        super().__init__()
        mx.random.seed(0)
        self.net = network()
        self.trainer: Any = None
        self.plain = self.keys()
        self.kinds = self.classes()
        self.calls = self.hooks = 0

    # --- what is looked at -----------------------------------------------------------------

    def keys(self) -> set[str]:
        return set(self.net._collect_params_with_prefix())

    def plain_keys(self) -> set[str]:
        return {key for key in self.keys() if not key.endswith(OURS)}

    def classes(self) -> list[type]:
        return [type(block) for block in blocks_once(self.net).values()]

    def outputs(self, net: Any = None) -> np.ndarray:
        return (net or self.net)(IMAGES.astype(self.net[0].weight.dtype)).asnumpy()

    def unchanged(self, before: np.ndarray, net: Any = None) -> None:
        np.testing.assert_array_equal(self.outputs(net), before)

    # --- operations ------------------------------------------------------------------------

    @rule(
        inplace=st.booleans(),
        columns=st.sampled_from([None, "K", 11]),
        where=st.sets(st.sampled_from(["0", "2", "5", "6", "7", "10", "11", "12"])),
    )
    def convert(self, inplace: bool, columns: Any, where: set[str]) -> None:
        if ("10" in where) != ("11" in where):  # one weight
            where -= {"10", "11"}
        todo = [each for each in candidates(self.net) if not each.done and not each.reason]
        if not any(name.split(".")[0] in where for each in todo for name in each.names):
            return
        before, trainer = self.outputs(), self.trainer if inplace else None
        self.net = convert(
            self.net,
            where=lambda name, layer: name.split(".")[0] in where,
            D_mul=columns,
            inplace=inplace,
            trainer=trainer,
        )
        self.trainer = trainer
        self.unchanged(before)

    @rule(inplace=st.booleans())
    def fold(self, inplace: bool) -> None:
        before = self.outputs()
        self.net = fold(self.net, inplace=inplace)
        self.trainer = self.trainer if inplace else None
        np.testing.assert_allclose(self.outputs(), before, rtol=1e-3, atol=1e-4 * abs(before).max())
        assert self.keys() == self.plain
        assert self.classes() == self.kinds

    @rule()
    def step(self) -> None:
        if self.trainer is None:
            options = {"learning_rate": 0.01, "momentum": 0.9}
            self.trainer = mx.gluon.Trainer(self.net.collect_params(), "sgd", options)
        with mx.autograd.record():
            loss = (self.net(IMAGES.astype(self.net[0].weight.dtype)) ** 2).mean()
        loss.backward()
        self.trainer.step(1)
        for layer in over_parameterized(self.net).values():
            assert np.isfinite(layer.D.data().asnumpy()).all()

    @rule()
    def copy(self) -> None:
        before, old = self.outputs(), self.net
        self.net, self.trainer = copied(old), None
        self.unchanged(before)
        own = {id(p) for p in old.collect_params().values()}
        assert not own & {id(p) for p in self.net.collect_params().values()}

    @rule()
    def save_and_load(self) -> None:
        before = self.outputs()
        other = copied(self.net)
        for parameter in other.collect_params().values():
            parameter.set_data(mx.nd.zeros(parameter.shape))
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "net.params")
            self.net.save_parameters(path)
            other.load_parameters(path)
        self.unchanged(before, other)

    @rule()
    def state(self) -> None:
        before = self.outputs()
        set_state(self.net, get_state(self.net))
        self.unchanged(before)

    @precondition(lambda self: self.trainer is not None)
    @rule()
    def resume(self) -> None:
        """From files, into a fresh copy and a fresh Trainer."""
        other = copied(self.net)
        options = {"learning_rate": 0.01, "momentum": 0.9}
        trainer = mx.gluon.Trainer(other.collect_params(), "sgd", options)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "states")
            self.trainer.save_states(path)
            trainer.load_states(path)
        self.step()
        expected, self.net, self.trainer = self.outputs(), other, trainer
        self.step()
        self.unchanged(expected)

    @rule(dtype=st.sampled_from(["float32", "float64"]))
    def cast(self, dtype: str) -> None:
        self.net.cast(dtype)
        self.trainer = None

    @rule(index=st.sampled_from([0, 2, 5, 7]), grad_req=st.sampled_from(["null", "write"]))
    def freeze(self, index: int, grad_req: str) -> None:
        self.net[index].collect_params().setattr("grad_req", grad_req)

    @rule(active=st.booleans(), static=st.booleans())
    def hybridize(self, active: bool, static: bool) -> None:
        before = self.outputs()
        self.net.hybridize(active, static_alloc=static, static_shape=static)
        after = self.outputs()
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-5 * abs(before).max())

    @precondition(lambda self: self.hooks == 0)
    @rule()
    def hook(self) -> None:
        def count(block: Any, given: Any, output: Any) -> None:
            self.calls += 1

        self.net.register_forward_hook(count)
        self.hooks = 1

    @precondition(lambda self: len(self.net) == 13)
    @rule()
    def add_a_head(self) -> None:
        with self.net.name_scope():
            self.net.add(nn.Dense(3))
        self.net[-1].initialize(mx.init.Normal(0.1))
        self.net[-1].cast(self.net[0].weight.dtype)
        self.trainer = None
        self.outputs()
        self.plain = self.plain_keys()
        self.kinds = [*self.kinds, nn.Dense]

    # --- what holds -------------------------------------------------------------------------

    @invariant()
    def no_parameter_is_lost_or_renamed(self) -> None:
        assert self.plain_keys() == self.plain

    @invariant()
    def a_trainer_has_every_parameter_once(self) -> None:
        if self.trainer is not None:
            own = list(self.net.collect_params().values())
            assert Counter(map(id, self.trainer._params)) == Counter(map(id, own))
            assert all(parameter._trainer is self.trainer for parameter in own)

    @invariant()
    def D_is_as_its_weight(self) -> None:
        for layer in over_parameterized(self.net).values():
            for parameter in (layer.D, layer.W_extra):
                if parameter is not None:
                    assert parameter.dtype == layer.weight.dtype
                    assert parameter.list_ctx() == layer.weight.list_ctx()

    @invariant()
    def hooks_stay(self) -> None:
        calls = self.calls
        self.outputs()
        assert self.calls == calls + self.hooks


Operations.TestCase.settings = settings(
    max_examples=12, stateful_step_count=12, phases=(Phase.generate,)
)
test_operations = Operations.TestCase
