"""keras.applications: converted, trained a step, folded back into the untouched application.

One network, without tracing; `make test-zoo` has all of them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import messages
from doconv_tf import convert, fold, summary
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import BACKEND, over_parameterized, run

SIZE = 32


def build() -> Any:
    keras.utils.clear_session()  # or Keras numbers the names that it gives
    keras.utils.set_random_seed(0)
    return keras.applications.MobileNetV2(
        alpha=0.35, weights=None, input_shape=(SIZE, SIZE, 3), classes=5
    )


@pytest.mark.integration("keras.applications", "convert", "train", "fold")
@pytest.mark.skipif(BACKEND == "jax", reason="it compiles the network for a minute")
def test_there_and_back() -> None:
    model = build()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, SIZE, SIZE, 3)).astype(np.float32)
    plain = run(model, x)

    converted = convert(model)
    np.testing.assert_array_equal(run(converted, x), plain)
    rows = summary(converted)
    assert len(rows) == 52
    assert len(rows.converted) == 18
    assert sum(row.kind == "DODepthwiseConv2D" for row in rows.converted) == 17
    assert {row.reason for row in rows if row.reason} == {messages.model.POINTWISE}
    assert all(row.K > 1 for row in rows.converted)

    converted.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    converted.fit(x, np.array([0, 1, 2, 3]), verbose=0, batch_size=4)
    for layer in over_parameterized(converted):
        assert abs(to_numpy(layer.D)).max() > 0, layer.name
    trained = run(converted, x)

    folded = fold(converted)
    untouched = build()
    assert folded.get_config() == untouched.get_config()
    assert [v.path for v in folded.weights] == [v.path for v in untouched.weights]
    untouched.set_weights([to_numpy(v) for v in folded.weights])
    np.testing.assert_array_equal(run(untouched, x), run(folded, x))
    np.testing.assert_allclose(run(untouched, x), trained, rtol=1e-4, atol=1e-5)


@pytest.mark.integration("keras.applications", "save")
@pytest.mark.skipif(BACKEND != "tensorflow", reason="one backend suffices for Keras's own file")
def test_folded_weights_load_strictly_into_the_untouched_application(tmp_path: Any) -> None:
    converted = convert(build())
    path = str(tmp_path / "folded.weights.h5")
    fold(converted).save_weights(path)
    untouched = build()
    untouched.load_weights(path)
    x = np.ones((1, SIZE, SIZE, 3), np.float32)
    np.testing.assert_array_equal(run(untouched, x), run(converted, x))
