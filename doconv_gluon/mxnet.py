"""Every workaround for MXNet 1.9.1 and GluonCV 0.10.5, scoped to the import it serves.

Both are archived upstream and will not change. The rest of the package imports them from here:

    from doconv_gluon.mxnet import mx

What is changed for an import (NumPy's names, the module table, the warning filters) is put back
after it, also where it fails.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy

from doconv_core.frameworks import importing
from doconv_gluon import messages as gluon_messages

_ALIASES = {"bool": bool, "int": int, "float": float}


@contextmanager
def numpy_aliases() -> Iterator[None]:
    """Bring back names that NumPy dropped in 1.24.

    ``mxnet/numpy/utils.py`` reads ``numpy.bool`` while it is imported.
    """
    missing = {name: value for name, value in _ALIASES.items() if name not in vars(numpy)}
    vars(numpy).update(missing)
    try:
        yield
    finally:
        for name in missing:
            del vars(numpy)[name]


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Let ``import name`` fail, whether it was imported before or not.

    ``gluoncv/check.py`` raises beside torch >= 2, which only its torch half needs.
    """
    absent = object()
    before = sys.modules.get(name, absent)
    sys.modules[name] = None  # type: ignore[assignment]  # the documented way to block an import
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[name]
        else:
            sys.modules[name] = before  # type: ignore[assignment]


@contextmanager
def _without_deprecations() -> Iterator[None]:
    # distutils versions and NumPy's financial functions, read while the packages are imported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def import_mxnet() -> ModuleType:
    """MXNet, on any NumPy below 2.

    Raises:
        ImportError: NumPy is 2 or later, for which there is no MXNet; or MXNet is not installed.
    """
    if int(numpy.__version__.split(".")[0]) >= 2:
        raise ImportError(gluon_messages.numpy_too_new(numpy.__version__))
    with importing("gluon"), numpy_aliases(), _without_deprecations():
        return importlib.import_module("mxnet")


def import_gluoncv() -> ModuleType:
    """GluonCV's MXNet half, whatever torch is installed.

    Its modules go on with a NumPy that has those names: a Faster R-CNN and an HRNet read
    ``np.float`` and ``np.int`` while they are built, the COCO metric while it counts.
    """
    import_mxnet()
    with importing("gluon"), hidden("torch"), _without_deprecations():
        gluoncv = importlib.import_module("gluoncv")
    old = ModuleType("numpy", numpy.__doc__)
    vars(old).update({**_ALIASES, **vars(numpy)})
    for name, module in list(sys.modules.items()):
        if name.startswith("gluoncv.") and vars(module).get("np") is numpy:
            module.np = old  # type: ignore[attr-defined]
    return gluoncv


mx: Any = import_mxnet()
