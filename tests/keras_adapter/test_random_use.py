"""Random sequences of what users do to a model; what must hold is checked after each step."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doconv_tf import CondConv2D, convert, fold, get_state, set_state, summary
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.helpers import BACKEND, run

L = keras.layers


@keras.saving.register_keras_serializable(package="doconv_tests_random_use")
class Conv3x3(L.Conv2D):
    """Its constructor only is its own."""

    def __init__(self, filters: int = 3, kernel_size: Any = 3, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **kwargs})


@keras.saving.register_keras_serializable(package="doconv_tests_random_use")
class OwnCall(L.Conv2D):
    def call(self, x: Any) -> Any:
        return -super().call(x)


@keras.saving.register_keras_serializable(package="doconv_tests_random_use")
class Holder(L.Layer):
    """Holds layers that nobody has named."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.norm = L.Conv2D(3, 3, padding="same"), L.BatchNormalization()

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)
        self.norm.build(input_shape)

    def call(self, x: Any) -> Any:
        return self.norm(self.conv(x)) + x


def _normalization(name: str) -> L.Layer:
    layer = L.Normalization(name=name)
    layer.adapt(np.random.default_rng(0).normal(1, 2, (8, 5, 5, 3)))
    return layer


PARTS: dict[str, Any] = {
    "conv": lambda name: L.Conv2D(3, 3, padding="same", name=name),
    "depthwise": lambda name: L.DepthwiseConv2D(3, padding="same", use_bias=False, name=name),
    "separable": lambda name: L.SeparableConv2D(3, 3, padding="same", name=name),
    "transposed": lambda name: L.Conv2DTranspose(3, 3, padding="same", name=name),
    "pointwise": lambda name: L.Conv2D(3, 1, name=name),
    "experts": lambda name: CondConv2D(3, 3, padding="same", num_experts=2, name=name),
    "own constructor": lambda name: Conv3x3(name=name),
    "own call": lambda name: OwnCall(3, 3, padding="same", name=name),
    "holder": lambda name: Holder(name=name),
    "normalization": _normalization,
}
parts = st.sampled_from(sorted(PARTS))

X = np.random.default_rng(1).normal(size=(4, 5, 5, 3)).astype(np.float32)
OURS = ("D", "W_extra")


class RandomUse(RuleBasedStateMachine):
    @initialize(first=st.lists(parts, min_size=1, max_size=2), seed=st.integers(0, 9))
    def start(self, first: list[str], seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.layers: list[L.Layer] = []
        self.order: list[int] = []
        for part in first:
            self._add(part)
        self._join()

    def _add(self, part: str) -> None:
        self.order.append(len(self.layers))
        self.layers.append(PARTS[part](f"part{len(self.layers)}"))

    def _join(self) -> None:
        """A model of the layers as they are, which is not compiled."""
        x = inputs = keras.Input((5, 5, 3))
        for number in self.order:
            x = keras.ops.tanh(self.layers[number](x))
        self._take(keras.Model(inputs, x, name="net"))

    def _take(self, model: keras.Model) -> None:
        self.model = model
        self.layers = [model.get_layer(f"part{i}") for i in range(len(self.layers))]

    # --- what is looked at -------------------------------------------------------------

    def output(self) -> np.ndarray:
        return run(self.model, X)

    def unchanged(self, before: np.ndarray, *, exact: bool = True) -> None:
        after = self.output()
        if exact:
            np.testing.assert_array_equal(after, before)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
        predicted = self.model.predict_on_batch(X)  # through what Keras has compiled
        np.testing.assert_allclose(predicted, after, rtol=1e-4, atol=1e-5)

    def facts(self, model: Any = None) -> dict[str, Any]:
        model = model or self.model
        flags = {each.path or each.name: each.trainable for each in everything(model)[1:]}
        paths = {v.path: v.trainable for v in model.variables if v.name not in OURS}
        return flags | paths

    def optimizer_is_built(self) -> bool:
        return self.model.compiled and self.model.optimizer.built

    def is_saveable(self) -> bool:
        held = [each.conv for each in self.layers if isinstance(each, Holder)]
        if any(map(_D, held)):  # the holder makes a plain one when it is loaded: Keras says so
            return False
        # Of an optimizer that is not built Keras (3.15) writes what it will not load.
        return self.optimizer_is_built() or not self.model.compiled

    @invariant()
    def every_variable_is_in_the_optimizer_once(self) -> None:
        if hasattr(self, "model") and self.optimizer_is_built():
            known = [id(v) for v in self.model.optimizer._trainable_variables]
            assert len(known) == len(set(known))
            assert {id(v) for v in self.model.trainable_variables} <= set(known)
            everywhere = {id(v) for v in self.model.variables}
            assert set(known) <= everywhere  # nothing is remembered of what is gone

    @invariant()
    def variables_have_paths_of_their_own(self) -> None:
        if hasattr(self, "model"):
            paths = [v.path for v in self.model.trainable_variables]
            assert len(paths) == len(set(paths))

    # --- what users do -----------------------------------------------------------------

    @rule(D_mul=st.sampled_from([None, "K", 13]), odd=st.sampled_from([None, 0, 1]))
    def convert_in_place(self, D_mul: Any, odd: int | None) -> None:
        before, facts = self.output(), self.facts()

        def where(name: str, _: Any) -> bool:
            return odd is None or int(name.split("/")[0][-1]) % 2 == odd

        wanted = [row for row in summary(self.model).convertible if where(row.name, None)]
        if self.optimizer_is_built() and wanted:
            with pytest.raises(ValueError, match="must come before the optimizer is built"):
                convert(self.model, where=where, D_mul=D_mul, inplace=True)
        else:
            assert convert(self.model, where=where, D_mul=D_mul, inplace=True) is self.model
        self.unchanged(before)
        assert self.facts() == facts

    @rule()
    def convert_a_copy(self) -> None:
        before, facts, old = self.output(), self.facts(), self.model
        self._take(convert(old))
        self.unchanged(before)
        assert self.facts() == facts
        assert not {id(v) for v in old.variables} & {id(v) for v in self.model.variables}
        assert not self.model.compiled

    @rule(inplace=st.booleans())
    def fold(self, inplace: bool) -> None:
        before, facts, built = self.output(), self.facts(), self.optimizer_is_built()
        self._take(fold(self.model, inplace=inplace))
        self.unchanged(before, exact=False)
        assert self.facts() == facts
        assert not [v for v in self.model.variables if v.name in OURS]
        assert self.optimizer_is_built() == (built and inplace)

    @rule(optimizer=st.sampled_from(["sgd", "adam", "lion"]), eagerly=st.booleans())
    def compile(self, optimizer: str, eagerly: bool) -> None:
        self.model.compile(optimizer, loss="mse", run_eagerly=eagerly, jit_compile=False)

    @precondition(lambda self: hasattr(self, "model") and self.model.compiled)
    @rule()
    def step(self) -> None:
        loss = self.model.train_on_batch(X, 0.5 * np.ones_like(X))
        assert np.isfinite(loss)

    @precondition(lambda self: not hasattr(self, "model") or self.is_saveable())
    @rule()
    def save_and_load(self) -> None:
        before, facts, built = self.output(), self.facts(), self.optimizer_is_built()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.keras")
            self.model.save(path)
            loaded = keras.saving.load_model(path)
        if built:
            ours, theirs = (each.optimizer.variables for each in (self.model, loaded))
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(_array(one), _array(other))
        self._take(loaded)
        self.unchanged(before)
        assert len(self.facts()) == len(facts)  # Keras numbers what nobody has named anew

    @rule()
    def save_and_load_weights(self) -> None:
        before = self.output()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.weights.h5")
            self.model.save_weights(path)
            for variable in self.model.trainable_variables:
                variable.assign(keras.ops.zeros(variable.shape))
            self.model.load_weights(path)
        self.unchanged(before)

    @precondition(lambda self: not hasattr(self, "model") or self.is_saveable())
    @rule()
    def pickled(self) -> None:
        before = self.output()
        self._take(pickle.loads(pickle.dumps(self.model)))
        self.unchanged(before)

    @rule()
    def neutral_state(self) -> None:
        before, state = self.output(), get_state(self.model)
        for name in state:
            layer = self.model
            for part in name.split("/"):
                layer = next(each for each in layer._layers if each.name == part)
            layer._kernel.assign(keras.ops.zeros(layer._kernel.shape))
        set_state(self.model, state)
        self.unchanged(before)

    @rule(at=st.integers(0, 5), on=st.booleans())
    def freeze(self, at: int, on: bool) -> None:
        self.layers[at % len(self.layers)].trainable = on
        self.model.compiled = False  # Keras wants it compiled anew

    @precondition(lambda self: len(getattr(self, "order", [])) in range(1, 5))
    @rule(part=parts)
    def add(self, part: str) -> None:
        self._add(part)
        self._rejoin()

    @precondition(lambda self: len(getattr(self, "order", [])) in range(1, 5))
    @rule(at=st.integers(0, 5))
    def share(self, at: int) -> None:
        self.order.append(at % len(self.layers))
        self._rejoin()

    def _rejoin(self) -> None:
        x = inputs = keras.Input((5, 5, 3))
        for number in self.order:
            x = keras.ops.tanh(self.layers[number](x))
        self.model = keras.Model(inputs, x, name="net")

    @rule()
    def look(self) -> None:
        facts, before = self.facts(), self.output()
        rows = summary(self.model, X)
        assert len(rows.converted) == len({id(each) for each in everything(self.model) if _D(each)})
        self.model.summary(print_fn=lambda *_, **__: None)
        assert self.facts() == facts
        self.unchanged(before)


def _array(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value)


def _D(layer: Any) -> Any:
    return getattr(layer, "D", None) is not None


RandomUse.TestCase.settings = settings(
    max_examples=20 if BACKEND == "tensorflow" else 6,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore:convert.. found no convolution")
@pytest.mark.filterwarnings("ignore:convert.. over-parameterized")
@pytest.mark.filterwarnings("ignore:The model 'net' holds layers that were changed in place")
@pytest.mark.filterwarnings("ignore:.*You are saving a model that has not yet been built")
class TestRandomUse(RandomUse.TestCase):
    """The machine under pytest."""
