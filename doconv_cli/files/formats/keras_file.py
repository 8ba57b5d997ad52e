"""Keras's files, read and written by Keras, converted and folded by :mod:`doconv_tf`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from doconv_core import messages

# TensorFlow, where it is the backend, otherwise begins with a page of remarks on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import doconv_tf
from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import Array, DOLayer, Layer, PlainLayer, pytorch_layout
from doconv_core import DOConvSpec
from doconv_core.checkpoint import read_bytes
from doconv_core.files.atomic import replacing
from doconv_core.kernel.layout import to_canonical
from doconv_tf.layers.arrays import to_numpy
from doconv_tf.layers.families import family_of
from doconv_tf.layers.hosts import class_for
from doconv_tf.model.walk import candidates


class KerasFile(CheckpointFile):
    """A ``.keras`` file. It tells everything about its layers, so that no hint is needed.

    The model is written uncompiled: an optimizer's state does not fit its new variables.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.model = _load_model(path)

    def layers(self, hints: Hints) -> list[Layer]:
        state = doconv_tf.get_state(self.model)
        layers: list[Layer] = []
        for names, layer, reason, *_ in candidates(self.model):
            name, dtype = names[0], str(layer.variable_dtype)
            if name not in state:
                spec = _spec(layer)
                shape = (*spec.kernel_shape[:2], *spec.kernel_size)
                bias = spec.out_channels if layer.use_bias else 0
                known = None if reason else spec.groups
                layers.append(PlainLayer(name, name, shape, dtype, bias, known))
                continue
            own = state[name]
            if not isinstance(own.spec, DOConvSpec):
                continue  # CondConv: folded with the model, not listed
            layers.append(
                DOLayer(
                    name=name,
                    spec=own.spec,
                    groups=own.spec.groups,
                    kernel_size=own.spec.kernel_size,
                    W=own.W,
                    D=own.D,
                    bias=0 if own.bias is None else own.bias.size,
                    dtype=dtype,
                    weight=name,
                    keys=(name,),
                )
            )
        return layers

    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None) -> None:
        if any(dtype not in (None, layer.dtype) for layer in layers):
            raise UsageError("--dtype: a Keras layer's kernel has the type that its policy says")
        self._save(doconv_tf.fold(self.model, inplace=True), out)

    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path) -> None:
        names = {layer.name for layer, _ in layers}
        converted = doconv_tf.convert(
            self.model, where=lambda name, layer: name in names, inplace=True
        )
        self._save(converted, out)

    def kernel(self, weight: str) -> Array:
        layer = next(found.layer for found in candidates(self.model) if weight in found.names)
        ours, spec = class_for(layer), _spec(layer)
        kernel = to_canonical(spec, to_numpy(ours.W_of(layer)), ours.layout)
        return pytorch_layout(spec, kernel.astype(np.float64))

    def _save(self, model: Any, out: Path) -> None:
        with replacing(out) as temporary:
            model.save(temporary)


class KerasWeightsFile(KerasFile):
    """A ``.weights.h5`` file, which holds no model.

    Args:
        path: the file.
        model: a ``.keras`` file of the model whose weights they are, converted or not; its own
            weights do not matter.
    """

    def __init__(self, path: Path, model: Path) -> None:
        CheckpointFile.__init__(self, path)
        read_bytes(path)
        self._model_path, self.model = model, _load_model(model)
        fault = _load_weights(self.model, path)
        if fault is not None:  # the weights may be those of the model in its other form
            converted = bool(doconv_tf.get_state(self.model))
            self.model = (doconv_tf.fold if converted else doconv_tf.convert)(self.model)
            fault = _load_weights(self.model, path)
        if fault is not None:
            raise _refuse(path, fault) from fault

    def written(self, out: Path) -> CheckpointFile:
        return KerasWeightsFile(out, self._model_path)

    def _save(self, model: Any, out: Path) -> None:
        with replacing(out) as temporary:
            model.save_weights(temporary)


def _load_model(path: Path) -> Any:
    read_bytes(path)  # for the system's own error, which Keras does not give
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as fault:  # whatever a damaged archive or a missing class leads to
        raise _refuse(path, fault) from fault


def _load_weights(model: Any, path: Path) -> Exception | None:
    """Load them, or return why not: a damaged file, or layers that do not fit."""
    try:
        model.load_weights(path)
    except Exception as fault:
        return fault
    return None


def _refuse(path: Path, fault: Exception) -> ValueError:
    # Keras wraps what happened, "could not locate class Own", in a dump of the model's config.
    inner: BaseException = fault
    while inner.__context__ is not None:
        inner = inner.__context__
    first = next(iter(str(inner).splitlines()), type(inner).__name__)
    return ValueError(messages.files.bad_file(path, f"Keras says {first!r}"))


def _spec(layer: Any) -> DOConvSpec:
    """The sizes of a plain layer, of a host's subclass too."""
    family = family_of(layer)
    assert family is not None
    spec = family.spec_of(layer)
    assert isinstance(spec, DOConvSpec)
    return spec
