"""Random sequences of what users do to a model; what must hold is checked after each step."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doconv_tf_keras import convert, fold, get_state, set_state, summary
from doconv_tf_keras.layers.nesting import everything, named_layers
from tests.tf_keras_adapter.helpers import L, over_parameterized, own_name, run

register = tf_keras.saving.register_keras_serializable(package="doconv_tests_random_use")


@register
class Conv3x3(L.Conv2D):
    """Its constructor only is its own."""

    def __init__(self, filters: int = 3, kernel_size: Any = 3, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **kwargs})


@register
class OwnCall(L.Conv2D):
    def call(self, x: Any) -> Any:
        return -super().call(x)


@register
class Holder(L.Layer):
    """Holds layers that nobody has named."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.norm = L.Conv2D(3, 3, padding="same"), L.BatchNormalization()

    def call(self, x: Any) -> Any:
        return self.norm(self.conv(x)) + x


def normalization(name: str) -> Any:
    layer = L.Normalization(name=name)
    layer.adapt(np.random.default_rng(0).normal(1, 2, (8, 5, 5, 3)))
    return layer


PARTS: dict[str, Any] = {
    "conv": lambda name: L.Conv2D(3, 3, padding="same", name=name),
    "depthwise": lambda name: L.DepthwiseConv2D(3, padding="same", use_bias=False, name=name),
    "separable": lambda name: L.SeparableConv2D(3, 3, padding="same", name=name),
    "transposed": lambda name: L.Conv2DTranspose(3, 3, padding="same", name=name),
    "pointwise": lambda name: L.Conv2D(3, 1, name=name),
    "own constructor": lambda name: Conv3x3(name=name),
    "own call": lambda name: OwnCall(3, 3, padding="same", name=name),
    "holder": lambda name: Holder(name=name),
    "normalization": normalization,
}
parts = st.sampled_from(sorted(PARTS))
OPTIMIZERS = {
    "sgd": tf_keras.optimizers.SGD,
    "adam": tf_keras.optimizers.Adam,
    "legacy adam": tf_keras.optimizers.legacy.Adam,
}

X = np.random.default_rng(1).normal(size=(4, 5, 5, 3)).astype(np.float32)
OURS = ("D", "W_extra")


class RandomUse(RuleBasedStateMachine):
    @initialize(first=st.lists(parts, min_size=1, max_size=3), seed=st.integers(0, 9))
    def start(self, first: list[str], seed: int) -> None:
        tf_keras.utils.set_random_seed(seed)
        self.layers = [PARTS[part](f"part{number}") for number, part in enumerate(first)]
        self.order = list(range(len(first)))
        self.join()

    def join(self) -> None:
        """A model of the layers as they are, which is not compiled."""
        x = inputs = tf_keras.Input((5, 5, 3))
        for number in self.order:
            x = L.Activation("tanh")(self.layers[number](x))
        self.take(tf_keras.Model(inputs, x, name="net"))

    def take(self, model: Any) -> None:
        self.model = model
        self.layers = [model.get_layer(f"part{number}") for number in range(len(self.layers))]

    # --- what is looked at -------------------------------------------------------------

    def output(self) -> np.ndarray:
        return run(self.model, X)

    def unchanged(self, before: np.ndarray, *, exact: bool = True) -> None:
        tolerance = {} if exact else {"rtol": 1e-4, "atol": 1e-5}
        compare = np.testing.assert_array_equal if exact else np.testing.assert_allclose
        compare(self.output(), before, **tolerance)

    def facts(self) -> list[tuple[str, bool]]:
        """The names and flags of layers and plain variables."""
        kept = [v for v in self.model.weights if own_name(v) not in OURS]
        return [(each.name, each.trainable) for each in (*everything(self.model)[1:], *kept)]

    def optimizer(self) -> Any:
        return self.model.optimizer if self.model._is_compiled else None

    def is_built(self) -> bool:
        return bool(getattr(self.optimizer(), "_built", False))

    def is_saveable(self) -> bool:
        held = [each.conv for each in self.layers if isinstance(each, Holder)]
        # The holder makes a plain one when it is loaded: tf_keras says so.
        return not any(getattr(conv, "D", None) is not None for conv in held)

    @invariant()
    def an_optimizer_knows_every_variable_and_nothing_that_is_gone(self) -> None:
        optimizer = self.optimizer() if hasattr(self, "model") else None
        if optimizer is None:
            return
        trained = {v._unique_id for v in self.model.trainable_variables}
        everywhere = {v._unique_id for v in self.model.weights}
        if self.is_built():
            known = set(optimizer._index_dict)
            assert trained <= known
            assert sorted(optimizer._index_dict.values()) == list(range(len(known)))
        else:
            known = set(getattr(optimizer, "_slots", ()))
        assert known <= everywhere

    # --- what users do -----------------------------------------------------------------

    @rule(D_mul=st.sampled_from([None, "K", 13]), odd=st.sampled_from([None, 0, 1]))
    def convert_in_place(self, D_mul: Any, odd: int | None) -> None:
        before, facts = self.output(), self.facts()

        def where(name: str, _: Any) -> bool:
            return odd is None or int(name.split("/")[0][-1]) % 2 == odd

        wanted = [row for row in summary(self.model).convertible if where(row.name, None)]
        if self.is_built() and wanted:
            with pytest.raises(ValueError, match="must come before the optimizer is built"):
                convert(self.model, where=where, D_mul=D_mul, inplace=True)
        else:
            assert convert(self.model, where=where, D_mul=D_mul, inplace=True) is self.model
        self.unchanged(before)
        assert self.facts() == facts

    @rule()
    def convert_a_copy(self) -> None:
        before, facts, old = self.output(), self.facts(), self.model
        self.take(convert(old))
        self.unchanged(before)
        assert self.facts() == facts
        assert not {id(v) for v in old.variables} & {id(v) for v in self.model.variables}
        assert not self.model._is_compiled

    @rule(inplace=st.booleans())
    def fold(self, inplace: bool) -> None:
        before, facts, built = self.output(), self.facts(), self.is_built()
        self.take(fold(self.model, inplace=inplace))
        self.unchanged(before, exact=False)
        assert self.facts() == facts
        assert not [v for v in self.model.weights if own_name(v) in OURS]
        assert self.is_built() == (built and inplace)

    @rule(optimizer=st.sampled_from(sorted(OPTIMIZERS)))
    def compile(self, optimizer: str) -> None:
        self.model.compile(OPTIMIZERS[optimizer](0.01), loss="mse", run_eagerly=True)

    @precondition(lambda self: hasattr(self, "model") and self.model._is_compiled)
    @rule()
    def step(self) -> None:
        assert np.isfinite(self.model.train_on_batch(X, 0.5 * np.ones_like(X)))

    @precondition(lambda self: not hasattr(self, "model") or self.is_saveable())
    @rule()
    def save_and_load(self) -> None:
        before, facts = self.output(), self.facts()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.keras")
            self.model.save(path)
            loaded = tf_keras.models.load_model(path)
        if self.is_built():
            ours, theirs = (model.optimizer.variables for model in (self.model, loaded))
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
        self.take(loaded)
        self.unchanged(before)
        # What nobody has named is numbered anew, and a variable loses its layer's name (2.21).
        assert [flag for _, flag in self.facts()] == [flag for _, flag in facts]

    @rule()
    def save_a_checkpoint_and_restore_it(self) -> None:
        before = self.output()
        checkpoint = tf.train.Checkpoint(model=self.model)
        with tempfile.TemporaryDirectory() as folder:
            path = checkpoint.write(str(Path(folder, "checkpoint")))
            for variable in self.model.trainable_variables:
                variable.assign(tf.zeros_like(variable))
            checkpoint.read(path).assert_consumed()
        self.unchanged(before)

    @rule()
    def neutral_state(self) -> None:
        before, state, layers = self.output(), get_state(self.model), named_layers(self.model)
        for name in state:
            layers[name]._kernel.assign(tf.zeros_like(layers[name]._kernel))
        set_state(self.model, state)
        self.unchanged(before)

    @rule(at=st.integers(0, 5), on=st.booleans())
    def freeze(self, at: int, on: bool) -> None:
        self.layers[at % len(self.layers)].trainable = on
        self.model.compile("sgd", loss="mse", run_eagerly=True)  # as tf_keras wants it

    @precondition(lambda self: len(getattr(self, "order", [])) in range(1, 5))
    @rule(at=st.integers(0, 5))
    def share(self, at: int) -> None:
        self.order.append(at % len(self.layers))
        self.join()

    @rule()
    def look(self) -> None:
        facts, before = self.facts(), self.output()
        rows = summary(self.model, X)
        converted = [each for each in over_parameterized(self.model) if each.D is not None]
        assert len(rows.converted) == len(converted)
        assert self.facts() == facts
        self.unchanged(before)


RandomUse.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore:convert.. found no convolution")
@pytest.mark.filterwarnings("ignore:convert.. over-parameterized")
@pytest.mark.filterwarnings("ignore:The model 'net' holds layers that were changed in place")
class TestRandomUse(RandomUse.TestCase):
    """The machine under pytest."""
