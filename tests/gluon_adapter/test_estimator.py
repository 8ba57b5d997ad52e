"""Gluon's Estimator trains, saves, resumes; GluonCV's trains through the same Trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import images, layers_of, network
from tests.star.backends.backend_gluon import ndarray

# MXNet 1.9.1's, of nd.array: it looks whether the array is one of SciPy's sparse ones.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

estimators = mx.gluon.contrib.estimator


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


def estimator(net: Any) -> Any:
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 1e-2})
    return estimators.Estimator(
        net, mx.gluon.loss.SoftmaxCrossEntropyLoss(), trainer=trainer, context=mx.cpu()
    )


def converted() -> Any:
    mx.random.seed(0)
    return convert(network(), inplace=True)


def fit(net: Any, *handlers: Any, epochs: int) -> Any:
    labels = ndarray(np.array([0, 1, 2, 3], dtype=np.float32))
    data = mx.gluon.data.ArrayDataset(images(4), labels)
    loader = mx.gluon.data.DataLoader(data, batch_size=4)
    estimator(net).fit(loader, epochs=epochs, event_handlers=list(handlers))
    return net


def values(net: Any) -> list[np.ndarray]:
    return [each.data().asnumpy() for each in net.collect_params().values()]


@pytest.mark.integration("Gluon's Estimator", "convert", "train", "fold")
def test_it_trains_D_and_the_folded_network_computes_the_same() -> None:
    net = fit(converted(), epochs=3)
    assert all(layer.D.data().asnumpy().any() for layer in layers_of(net).values())
    x = images()
    np.testing.assert_allclose(fold(net)(x).asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.integration("Gluon's Estimator", "save", "resume")
def test_resumed_from_its_checkpoint_it_is_what_it_would_have_been(tmp_path: Path) -> None:
    """To the bit."""

    def checkpoint(resume: bool) -> Any:
        return estimators.CheckpointHandler(
            str(tmp_path), model_prefix="net", resume_from_checkpoint=resume
        )

    whole = fit(converted(), epochs=4)
    fit(converted(), checkpoint(resume=False), epochs=2)
    resumed = fit(converted(), checkpoint(resume=True), epochs=4)
    for ours, theirs in zip(values(resumed), values(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
