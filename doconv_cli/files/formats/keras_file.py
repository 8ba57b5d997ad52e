"""Keras's files, read and written by Keras, converted and folded by :mod:`doconv_tf`."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

# TensorFlow, where it is the backend, otherwise begins with a page of remarks on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import doconv_tf
from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats import hdf5
from doconv_cli.files.formats.checkpoint import Check, CheckpointFile, Options
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.entries import Array, Content, Made, held
from doconv_cli.files.layers.layers import DOLayer, Layer, PlainLayer
from doconv_core import DOConvSpec, messages
from doconv_core.files.reading import open_regular
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_tf.layers.arrays import to_numpy
from doconv_tf.layers.families import family_of
from doconv_tf.layers.hosts import class_for
from doconv_tf.model.walk import candidates


class KerasFile(CheckpointFile):
    """A ``.keras`` file. It tells everything about its layers, so that no hint is needed.

    The model is written uncompiled: an optimizer's state does not fit its new variables.
    """

    def __init__(self, path: Path, options: Options) -> None:
        super().__init__(path, options)
        self.model = _load_model(path, options)
        self._compiled = _is_compiled(path)

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
                layers.append(PlainLayer(name, f"{name}/weight", shape, dtype, bias, known))
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
                    bias=0 if own.bias is None else own.bias.size,
                    dtype=dtype,
                    weight=f"{name}/weight",
                    keys=(f"{name}/weight",),
                    arrays=dict[str, Content](_arrays(own.spec, own.W, own.D, dtype)),
                )
            )
        return layers

    def fold(self, layers: list[DOLayer], out: Path, dtype: str | None, check: Check) -> None:
        if any(dtype not in (None, layer.dtype) for layer in layers):
            raise UsageError("--dtype: a Keras layer's kernel has the type that its policy says")
        if {layer.name for layer in layers} != doconv_tf.get_state(self.model).keys():
            raise UsageError("--only: a Keras model is folded whole")
        self._save(doconv_tf.fold(self.model, inplace=True), out, check)

    def convert(self, layers: list[tuple[Layer, DOConvSpec]], out: Path, check: Check) -> None:
        names = {layer.name for layer, _ in layers}
        converted = doconv_tf.convert(
            self.model, where=lambda name, layer: name in names, inplace=True
        )
        self._save(converted, out, check)

    def array(self, key: str) -> Array:
        name, _, array = key.rpartition("/")
        own = doconv_tf.get_state(self.model).get(name)
        if own is not None:
            assert isinstance(own.spec, DOConvSpec)
            return _arrays(own.spec, own.W, own.D, "float64")[array].make()
        layer = next(found.layer for found in candidates(self.model) if name in found.names)
        ours, spec = class_for(layer), _spec(layer)
        assert ours is not None  # candidates are of a host's class
        kernel = to_canonical(spec, to_numpy(ours.W_of(layer)), ours.layout)
        return _arrays(spec, kernel, None, "float64")["weight"].make()

    def _save(self, model: Any, out: Path, check: Check) -> None:
        if self._compiled:
            self.notes.append(
                "the model was compiled and is written uncompiled: its optimizer's state does not "
                "fit the new variables; compile it again to train on"
            )
        with self.replacing(out) as temporary:
            model.save(temporary)
            if check is not None:
                check(self.written(temporary))


class KerasWeightsFile(KerasFile):
    """A ``.weights.h5`` file, which holds no model: that is another file's, whose own weights do
    not matter, converted or not.
    """

    def __init__(self, path: Path, options: Options) -> None:
        CheckpointFile.__init__(self, path, options)
        assert options.model is not None  # opening asks for one
        open_regular(path).close()
        hdf5.check_file(path, path.stat().st_size, options.limits)
        self._compiled = False
        self.model = _load_model(options.model, options)
        fault = _load_weights(self.model, path)
        if fault is not None:  # the weights may be those of the model in its other form
            converted = bool(doconv_tf.get_state(self.model))
            self.model = (doconv_tf.fold if converted else doconv_tf.convert)(self.model)
            fault = _load_weights(self.model, path)
        if fault is not None:
            raise _refuse(path, fault) from fault

    def _save(self, model: Any, out: Path, check: Check) -> None:
        with self.replacing(out) as temporary:
            model.save_weights(temporary)
            if check is not None:
                check(self.written(temporary))


def _load_model(path: Path, options: Options) -> Any:
    open_regular(path).close()  # for the system's own error, which Keras does not give
    options.limits.check_zip(path)
    _check_weights(path, options)
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as fault:  # whatever a damaged archive or a missing class leads to
        raise _refuse(path, fault) from fault


def _check_weights(path: Path, options: Options) -> None:
    """Look into the archive's weights; what cannot be opened is Keras's to refuse."""
    damaged = (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, zlib.error)
    with (
        suppress(*damaged),
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as member,
    ):
        hdf5.check_file(member, path.stat().st_size, options.limits)


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
    said = " ".join(str(inner).split()) or type(inner).__name__
    return ValueError(messages.files.bad_file(path, f"Keras says {said!r}"))


def _is_compiled(path: Path) -> bool:
    """Whether a model's file says how it was compiled."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return bool(isinstance(config, dict) and config.get("compile_config"))


def _arrays(spec: DOConvSpec, W: Array, D: Array | None, dtype: str) -> dict[str, Made]:
    """A layer's arrays in PyTorch's layout."""
    layout, K = "IOk" if spec.transposed else "OIk", spec.K
    arrays = {"weight": held(from_canonical(spec, W[..., :K], layout), dtype)}
    if D is not None:
        arrays["D"] = held(D, dtype)
    if spec.extra_columns:
        arrays["W_extra"] = held(from_canonical(spec, W[..., K:], layout, spatial=False), dtype)
    return arrays


def _spec(layer: Any) -> DOConvSpec:
    """The sizes of a plain layer, of a host's subclass too."""
    family = family_of(layer)
    assert family is not None
    spec = family.spec_of(layer)
    assert isinstance(spec, DOConvSpec)
    return spec
