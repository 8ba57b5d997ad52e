"""Gluon: MXNet's quantize_net, static."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.int8.row import Row, pairs, percent
from doconv_gluon.mxnet import mx

Images = NDArray[np.float32]
CALIBRATION = 256
"""Training images that ranges are taken from."""


def quantized(net: Any, calibration: Images, images: Images) -> Images:
    """The outputs of a network whose weights and activations are int8."""
    from mxnet.contrib import quantization  # after doconv_gluon, which makes it importable

    count = len(calibration)  # MXNet 1.9.1 asks for labels too, and looks at none
    dataset = mx.gluon.data.ArrayDataset(mx.nd.array(calibration), mx.nd.zeros(count))
    data = mx.gluon.data.DataLoader(dataset, batch_size=count)
    small = quantization.quantize_net_v2(
        net, quantized_dtype="int8", calib_data=data, calib_mode="naive", ctx=mx.cpu()
    )
    return small(mx.nd.array(images)).asnumpy()


def rows() -> Iterator[Row]:
    """Every pair."""
    tool = f"mxnet {version('mxnet')} quantize_net, static"
    for seed, plain, folded, data in pairs("gluon"):
        calibration, images = data.train_images[:CALIBRATION], data.test_images
        accuracies = []
        for trainer in (plain, folded):
            before = percent(trainer.logits(images), data)
            accuracies += [before, percent(quantized(trainer.net, calibration, images), data)]
        yield Row("Gluon", tool, seed, *accuracies)
