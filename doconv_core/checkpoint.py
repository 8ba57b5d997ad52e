"""The neutral file: DO-Conv layers' arrays for any framework, and the sizes to read them by.

A safetensors file of canonical arrays: for each layer NAME, ``NAME.W`` (O, I/g, S), ``NAME.D``
(I, K, S) where K > 1, and ``NAME.bias`` (O,) where it has one. A CondConv layer's arrays have an
axis of experts in front, its D is there where it is over-parameterized, and its own routing is
``NAME.routing`` (I, E), with ``NAME.routing_bias`` (E,) where that has one. The header's metadata
has one key, ``doconv``: a json record of the version and of every layer's sizes, in the state's
order. What was trained in one framework goes on in another::

    save("layers.safetensors", doconv_torch.get_state(torch_model))
    doconv_tf.set_state(keras_model, load("layers.safetensors"))

Needs the safetensors package; nothing else in doconv_core does.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import messages
from doconv_core.files.atomic import replacing
from doconv_core.files.header import Header, read_header
from doconv_core.files.reading import read_bytes
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.model.state import LayerState, State
from doconv_core.neighbours.condconv import CondConvSpec

VERSION = 1
"""Of the record; a file of a later one is refused."""

KEY = "doconv"
"""The one metadata key. With several, safetensors 0.8.0 writes them in random order."""

_ARRAYS = ("W", "D", "bias", "routing", "routing_bias")
_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}


def save(path: str | os.PathLike[str], state: Mapping[str, LayerState]) -> None:
    """Write a state to a file, whole or not at all. The same state gives the same bytes.

    Args:
        path: the file to be; what is there is replaced.
        state: layer name to :class:`LayerState`, as an adapter's ``get_state`` reads it.

    Raises:
        ValueError: a name or an array's type cannot be stored.
        OSError: writing fails; ``path`` is then as it was.
        ImportError: safetensors is not installed.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/layers.safetensors"
        >>> spec = DOConvSpec(1, 2, (3,))
        >>> save(path, {"conv": LayerState(spec, np.ones(spec.W_shape), np.zeros(spec.D_shape))})
        >>> load(path)["conv"].spec == spec
        True
    """
    safetensors = _safetensors()
    record = [{"name": name, **asdict(layer.spec)} for name, layer in state.items()]
    metadata = {KEY: json.dumps({"version": VERSION, "layers": record}, sort_keys=True)}
    data = safetensors.numpy.save(_arrays(state), metadata=metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | os.PathLike[str]) -> State:
    """Read a state that :func:`save` wrote.

    Args:
        path: the file.

    Returns:
        Layer name to :class:`LayerState`, in the order of writing; the arrays are the caller's.

    Raises:
        ValueError: the file is damaged, not a neutral file, of an unknown version, or its arrays
            are not the ones that its record names.
        OSError: it cannot be read.
        ImportError: safetensors is not installed.
    """
    safetensors = _safetensors()
    data = read_bytes(path)
    header = read_header(io.BytesIO(data), path)
    for name, array in header.arrays.items():
        if array.dtype not in _DTYPES:
            raise ValueError(messages.files.bad_file(path, f"{name!r} is of type {array.dtype}"))
    specs = _specs(header.metadata, path)
    try:
        arrays: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except safetensors.SafetensorError as fault:
        raise ValueError(messages.files.bad_file(path, str(fault))) from fault
    state = {}
    for layer, spec in specs.items():
        try:
            W, *others = (arrays.pop(f"{layer}.{name}", None) for name in _ARRAYS)
            if W is None:
                raise ValueError(f"{layer}.W is missing")
            state[layer] = LayerState(spec, W, *others)
        except ValueError as fault:
            raise ValueError(messages.files.bad_file(path, f"layer {layer!r}: {fault}")) from fault
    if arrays:
        raise ValueError(
            messages.files.bad_file(path, f"its record does not name {sorted(arrays)}")
        )
    return state


def is_neutral(header: Header) -> bool:
    """Whether a safetensors header says that :func:`save` wrote the file."""
    return KEY in header.metadata


def _arrays(state: Mapping[str, LayerState]) -> dict[str, NDArray[Any]]:
    arrays = {}
    for layer, own in state.items():
        if not layer.isprintable():
            raise ValueError(messages.files.bad_layer_name(layer))
        for name in _ARRAYS:
            array = getattr(own, name)
            if array is None:
                continue
            if array.dtype.name not in _DTYPES.values():
                raise ValueError(messages.files.bad_stored_dtype(f"{layer}.{name}", array.dtype))
            # The library's writer takes an array's buffer whatever its strides say.
            arrays[f"{layer}.{name}"] = np.ascontiguousarray(array)
    return arrays


def _specs(
    metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> dict[str, DOConvSpec | CondConvSpec]:
    """The record's sizes, checked."""

    def refuse(fault: str) -> ValueError:
        return ValueError(messages.files.bad_file(path, fault))

    if KEY not in metadata:
        raise refuse("it was not written by doconv_core.checkpoint.save")
    try:
        record = json.loads(metadata[KEY])
        version = record["version"]
        if version != VERSION:
            raise refuse(f"it is of version {version!r}; this release reads version {VERSION}")
        specs: dict[str, DOConvSpec | CondConvSpec] = {}
        for sizes in record["layers"]:
            name = sizes.pop("name")
            if name in specs:
                raise refuse(f"layer {name!r} is recorded twice")
            try:
                kind = CondConvSpec if "num_experts" in sizes else DOConvSpec
                specs[name] = kind(**sizes)
            except ValueError as fault:
                raise refuse(f"layer {name!r}: {fault}") from fault
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, RecursionError) as fault:
        raise refuse("its record of layers cannot be read") from fault
    return specs


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as fault:
        raise ImportError(messages.files.needs_package("safetensors", "neutral files")) from fault
    return safetensors
