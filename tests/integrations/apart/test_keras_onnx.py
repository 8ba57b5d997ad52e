"""ONNX from Keras on TensorFlow, which needs tf2onnx.

Without groups: Keras 3.15 has XLA compute those, and tf2onnx 1.17 writes a node that no runtime
knows, for a plain model as well.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from doconv_tf import convert, fold
from doconv_tf.layers import exporting
from tests.keras_adapter.helpers import randomize_D, run
from tests.keras_adapter.test_export import X, network

pytest.importorskip("tf2onnx", reason="make test-integrations installs it")


def exported(model: object, path: Path) -> tuple[np.ndarray, Counter[str]]:
    """What onnxruntime computes, and the graph's operators."""
    run(model, X)  # Keras 3.15 exports to ONNX what has been called before
    model.export(path, format="onnx", verbose=False)  # type: ignore[attr-defined]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    return found, Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.integration("ONNX from Keras", "fold", "export")
def test_a_folded_model_is_exported_as_the_plain_one(tmp_path: Path) -> None:
    plain = network(groups=1)
    model = convert(plain)
    randomize_D(model)
    _, plain_kinds = exported(plain, tmp_path / "plain.onnx")
    found, kinds = exported(fold(model), tmp_path / "folded.onnx")
    assert kinds == plain_kinds
    np.testing.assert_allclose(found, run(model, X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.integration("ONNX from Keras", export="unfolded: correct, told once")
def test_an_unfolded_one_computes_the_same_and_it_is_told(tmp_path: Path) -> None:
    model = convert(network(groups=1))
    randomize_D(model)
    exporting.warn.cache_clear()
    with pytest.warns(UserWarning, match="not folded: the graph is right"):
        found, _ = exported(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(found, run(model, X), rtol=1e-4, atol=1e-5)
