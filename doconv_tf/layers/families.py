"""The two ways in which a Keras layer holds D: as a DO-Conv layer, or for each expert.

What is written for a whole model asks these, and knows no class of layers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from doconv_core.model.family import Family, Spec
from doconv_keras.layers import families
from doconv_keras.layers.families import Convolutions, DOConvFamily
from doconv_tf.layers.base import DOConvNd
from doconv_tf.layers.condconv import CondConvNd
from doconv_tf.layers.hosts import class_for, is_convolution, why_plain

CONVOLUTIONS = Convolutions(DOConvNd, is_convolution, class_for, why_plain)


class CondConvFamily(DOConvFamily):
    """CondConv layers, whose experts get a D each."""

    def considers(self, layer: Any) -> bool:
        return isinstance(layer, CondConvNd)

    holds = considers

    def is_over_parameterized(self, layer: Any) -> bool:
        return bool(layer.is_over_parameterized)

    def kind(self, layer: Any) -> str:
        return "DO-CondConv" if layer.is_over_parameterized else "CondConv"

    def spec_of(self, layer: Any) -> Spec | None:
        return layer.spec if layer.built else None

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)

    def own_routing(self, layer: Any) -> Any:
        return layer.routing


DOCONV = DOConvFamily(CONVOLUTIONS)

FAMILIES: tuple[Family, ...] = (CondConvFamily(CONVOLUTIONS), DOCONV)

family_of = partial(families.family_of, FAMILIES)
write_kernel = DOCONV.write_kernel
