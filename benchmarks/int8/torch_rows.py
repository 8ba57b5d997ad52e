"""PyTorch: torchao's PT2E, and onnxruntime's static quantization."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

from benchmarks.int8.row import Row, pairs, percent

Images = NDArray[np.float32]
CALIBRATION = 256
"""Training images that ranges are taken from."""


def by_pt2e(model: nn.Module, calibration: Images, images: Images) -> Images:
    """Weights and activations, statically, of the exported graph."""
    program = torch.export.export(model.eval(), (torch.from_numpy(calibration),)).module()
    quantizer = X86InductorQuantizer()
    quantizer.set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(program, quantizer)
    prepared(torch.from_numpy(calibration))
    quantized = convert_pt2e(prepared)
    # The exported graph has the calibration's batch.
    outputs = [_run(quantized, batch, len(calibration)) for batch in _batches(images)]
    return np.concatenate(outputs)


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, images: Images) -> None:
        self.batches = iter([{name: images}])

    def get_next(self) -> dict[str, Images] | None:
        return next(self.batches, None)


def by_onnxruntime(model: nn.Module, calibration: Images, images: Images) -> Images:
    """Weights and activations, statically, of the ONNX file."""
    with tempfile.TemporaryDirectory() as folder:
        path, quantized = Path(folder, "model.onnx"), Path(folder, "int8.onnx")
        batch = ({0: torch.export.Dim("batch", min=1, max=4096)},)
        x = torch.from_numpy(calibration[:2])
        more = {"dynamic_shapes": batch, "dynamo": True, "verbose": False}
        torch.onnx.export(model.eval(), (x,), path, input_names=["x"], **more)
        reader = _Reader("x", calibration)
        quantize_static(path, quantized, reader, weight_type=QuantType.QInt8, per_channel=True)
        session = onnxruntime.InferenceSession(quantized, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": images})[0]


def _batches(images: Images) -> list[Images]:
    return [images[start : start + CALIBRATION] for start in range(0, len(images), CALIBRATION)]


def _run(model: nn.Module, batch: Images, size: int) -> Images:
    padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.float32)])
    return np.asarray(model(torch.from_numpy(padded)).detach())[: len(batch)]


TOOLS: dict[str, Callable[[nn.Module, Images, Images], Images]] = {
    f"torchao {version('torchao')}, PT2E, static": by_pt2e,
    f"onnxruntime {version('onnxruntime')}, static": by_onnxruntime,
}


def rows() -> Iterator[Row]:
    """Every tool on every pair."""
    for seed, plain, folded, data in pairs("torch"):
        calibration, images = data.train_images[:CALIBRATION], data.test_images
        for tool, quantize in TOOLS.items():
            accuracies = []
            for trainer in (plain, folded):
                quantized = quantize(trainer.model, calibration, images)
                accuracies += [percent(each, data) for each in (trainer.logits(images), quantized)]
            yield Row("PyTorch", tool, seed, *accuracies)
