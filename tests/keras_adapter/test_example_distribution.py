"""examples/keras/distribution.py, as users start it: each replica learns what one device does."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical
from doconv_tf import convert, fold, get_state, set_state
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    BACKEND,
    over_parameterized,
    randomize_D,
    run,
    small_sequential,
    values,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "keras" / "distribution.py"
ENGINES = {"tensorflow": ["mirrored"], "jax": ["data"], "torch": []}[BACKEND]
if BACKEND == "tensorflow" and "DOCONV_ALL" in os.environ:  # by `make test-integrations`
    ENGINES.append("workers")

CLASSES = ["DOConv2D", "DODepthwiseConv2D"]

distributes = pytest.mark.skipif(not ENGINES, reason="Keras has no engine that distributes torch")


class Distributed(NamedTuple):
    """What the example has saved."""

    trained: keras.Model
    folded: keras.Model
    replicas: np.ndarray


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:  # it sets XLA_FLAGS, for JAX not started yet
        patch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
        yield runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def one_device(example: dict[str, Any]) -> keras.Model:
    model, _ = example["trained"]()
    return model


@pytest.fixture(scope="module", params=ENGINES)
def distributed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Distributed:
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, str(SCRIPT), request.param, "--save", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    models = [keras.models.load_model(folder / "0" / f"{n}.keras") for n in ("trained", "folded")]
    return Distributed(*models, np.load(folder / "0" / "replicas.npy"))


@pytest.mark.integration("MirroredStrategy", "convert", "train")
@pytest.mark.integration("MultiWorkerMirroredStrategy", "convert", "train")
@pytest.mark.integration("keras.distribution", "convert", "train")
@pytest.mark.integration("BatchNormalization(synchronized=True)", "train")
@distributes
def test_two_replicas_are_equal_and_what_one_device_learns(
    distributed: Distributed, one_device: keras.Model
) -> None:
    assert len(distributed.replicas) == 2
    np.testing.assert_array_equal(*distributed.replicas)
    trained = [np.ravel(to_numpy(v)) for v in distributed.trained.trainable_variables]
    np.testing.assert_array_equal(np.concatenate(trained), distributed.replicas[0])
    for ours, theirs in zip(values(distributed.trained), values(one_device), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert all(to_numpy(layer.D).any() for layer in over_parameterized(distributed.trained))


@pytest.mark.integration("MirroredStrategy", "fold", "save")
@pytest.mark.integration("MultiWorkerMirroredStrategy", "fold", "save")
@pytest.mark.integration("keras.distribution", "fold", "save")
@pytest.mark.integration("BatchNormalization(synchronized=True)", "fold")
@distributes
def test_the_gathered_model_is_folded_exactly(
    distributed: Distributed, example: dict[str, Any]
) -> None:
    """Each kernel is that of the core, to the bit; and it loads where nothing is distributed."""
    states = get_state(distributed.trained).values()
    for state, layer in zip(states, over_parameterized(distributed.trained), strict=True):
        plain = distributed.folded.get_layer(layer.name)
        assert type(plain) is layer.host
        kernel = from_canonical(state.spec, fold_kernel(state.spec, state.W, state.D), layer.layout)
        np.testing.assert_array_equal(to_numpy(plain.kernel), kernel)
    images, _ = example["digits"]()
    expected = run(distributed.trained, images[:8])
    np.testing.assert_allclose(run(distributed.folded, images[:8]), expected, rtol=1e-4, atol=1e-5)


def converted() -> keras.Model:
    model = convert(small_sequential())
    randomize_D(model)
    return model


CHANGES = {
    "convert": lambda model: convert(model, inplace=True),
    "fold": lambda model: fold(model),
    "fold-inplace": lambda model: fold(model, inplace=True),
    "set_state": lambda model: set_state(model, {}),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def refused(model: keras.Model, where: Callable[[Callable[[], Any]], Any], change: Any) -> None:
    before = values(model)
    with pytest.raises(ValueError, match=r"Call this outside of tf\.function, .* run\(\)"):
        where(lambda: change(model))
    assert [type(layer).__name__ for layer in over_parameterized(model)] == CLASSES
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.integration("MirroredStrategy", fold="refused in a replica: outside of run()")
@pytest.mark.skipif(BACKEND != "tensorflow", reason="the strategies are TensorFlow's")
@every_change
def test_a_replica_cannot_change_the_model_for_itself(change: Any) -> None:
    """Folded by one replica, the model had two different kernels."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = converted()
    refused(model, strategy.run, change)


@distributes
@every_change
def test_nor_can_a_function_that_is_traced(change: Any) -> None:
    """Converted by one, the model had a D that is a symbol."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        refused(converted(), lambda function: tf.function(function, autograph=False)(), change)
    else:
        import jax

        refused(converted(), lambda function: jax.jit(function)(), change)
