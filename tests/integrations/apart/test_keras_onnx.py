"""ONNX from Keras on TensorFlow, which needs tf2onnx."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from doconv_tf import convert, fold
from tests.keras_adapter.helpers import randomize_D, run
from tests.keras_adapter.test_export import X, network

pytest.importorskip("tf2onnx", reason="make test-integrations installs it")


def exported(model: object, path: Path) -> tuple[np.ndarray, Counter[str]]:
    """What onnxruntime computes, and the graph's operators."""
    model.export(path, format="onnx", verbose=False)  # type: ignore[attr-defined]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    return found, Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.integration("ONNX from Keras", "fold", "export")
def test_a_folded_model_is_exported_as_the_plain_one(tmp_path: Path) -> None:
    plain = network()
    model = convert(plain)
    randomize_D(model)
    _, plain_kinds = exported(plain, tmp_path / "plain.onnx")
    found, kinds = exported(fold(model), tmp_path / "folded.onnx")
    assert kinds == plain_kinds
    np.testing.assert_allclose(found, run(model, X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.integration("ONNX from Keras", export="unfolded: correct")
def test_an_unfolded_one_computes_the_same(tmp_path: Path) -> None:
    model = convert(network())
    randomize_D(model)
    found, _ = exported(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(found, run(model, X), rtol=1e-4, atol=1e-5)
