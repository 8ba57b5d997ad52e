"""The way in which a layer of tf_keras holds D: as a DO-Conv layer.

What is written for a whole model asks this, and knows no class of layers.
"""

from __future__ import annotations

from functools import partial

from doconv_core.model.family import Family
from doconv_keras.layers import families
from doconv_keras.layers.families import Convolutions, DOConvFamily
from doconv_tf_keras.layers.base import DOConvNd
from doconv_tf_keras.layers.hosts import class_for, is_convolution, why_plain

DOCONV = DOConvFamily(Convolutions(DOConvNd, is_convolution, class_for, why_plain))

FAMILIES: tuple[Family, ...] = (DOCONV,)

family_of = partial(families.family_of, FAMILIES)
write_kernel = DOCONV.write_kernel
