"""What the layers of a model are called with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from doconv_core.model.rows import Sizes


@contextmanager
def noting_calls(layers: list[Any], calls: dict[int, list[Sizes]]) -> Iterator[None]:
    """Shadow each layer's ``call`` by one that notes the sizes, as Keras has no hooks."""

    def shadow(layer: Any, call: Any) -> Any:
        def noting(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = call(inputs, *args, **kwargs)
            first = 1 if layer.data_format == "channels_last" else 2
            before, after = (tuple(t.shape)[first : first + layer.rank] for t in (inputs, outputs))
            calls.setdefault(id(layer), []).append((int(inputs.shape[0]), before, after))
            return outputs

        return noting

    own = {id(layer): vars(layer).get("call") for layer in layers}
    for layer in layers:
        vars(layer)["call"] = shadow(layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]
            if own[id(layer)] is not None:
                vars(layer)["call"] = own[id(layer)]
