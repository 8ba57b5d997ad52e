"""keras.applications: converted, trained a step, folded back into the untouched application."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import messages
from doconv_tf import convert, fold, summary
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import BACKEND, over_parameterized

SIZE = 32
APPLICATIONS = {
    # name: (convolutions, depthwise among the converted, converted)
    "MobileNetV2": (52, 17, 18),
    "ResNet50": (53, 0, 17),
    "EfficientNetB0": (81, 16, 17),
}
# jax has only XLA, which compiles the larger two for a minute each.
NAMES = ["MobileNetV2"] if BACKEND == "jax" else list(APPLICATIONS)


def build(name: str) -> Any:
    application = getattr(keras.applications, name)
    keras.utils.clear_session()  # or Keras numbers the names that it gives
    keras.utils.set_random_seed(0)
    return application(weights=None, input_shape=(SIZE, SIZE, 3), classes=5)


@pytest.mark.integration("keras.applications", "convert", "train", "fold")
@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name: str) -> None:
    model = build(name)
    convolutions, depthwise, count = APPLICATIONS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, SIZE, SIZE, 3)).astype(np.float32)
    plain = model.predict(x, verbose=0)

    converted = convert(model)
    np.testing.assert_array_equal(converted.predict(x, verbose=0), plain)
    rows = summary(converted)
    assert len(rows) == convolutions
    assert len(rows.converted) == count
    assert sum(row.kind == "DODepthwiseConv2D" for row in rows.converted) == depthwise
    assert {row.reason for row in rows if row.reason} == {messages.model.POINTWISE}
    assert all(row.K > 1 for row in rows.converted)

    jit = BACKEND == "jax"
    converted.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
    converted.fit(x, np.array([0, 1, 2, 3]), verbose=0, batch_size=4)
    for layer in over_parameterized(converted):
        assert abs(to_numpy(layer.D)).max() > 0, layer.name
    trained = converted.predict(x, verbose=0)

    folded = fold(converted)
    untouched = build(name)
    assert folded.get_config() == untouched.get_config()
    assert [v.path for v in folded.weights] == [v.path for v in untouched.weights]
    untouched.set_weights([to_numpy(v) for v in folded.weights])
    np.testing.assert_array_equal(untouched.predict(x, verbose=0), folded.predict(x, verbose=0))
    np.testing.assert_allclose(untouched.predict(x, verbose=0), trained, rtol=1e-4, atol=1e-5)


@pytest.mark.integration("keras.applications", "save")
@pytest.mark.skipif(BACKEND != "tensorflow", reason="one backend suffices for Keras's own file")
def test_folded_weights_load_strictly_into_the_untouched_application(tmp_path: Any) -> None:
    converted = convert(build("MobileNetV2"))
    path = str(tmp_path / "folded.weights.h5")
    fold(converted).save_weights(path)
    untouched = build("MobileNetV2")
    untouched.load_weights(path)
    x = np.ones((1, SIZE, SIZE, 3), np.float32)
    np.testing.assert_array_equal(untouched.predict(x, verbose=0), converted.predict(x, verbose=0))
