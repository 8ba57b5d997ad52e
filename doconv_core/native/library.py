"""The compiled library beside this file, if it was built and may be used.

It knows neither Python nor any framework, so one file serves every Python 3, and is loaded by
ctypes. Without it everything goes the usual way.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from doconv_core.messages import native as messages

PATH = Path(__file__).with_name("_products.so")
VARIABLE = "DOCONV_NATIVE"
"""The environment variable that switches it off, and keeps it from being built, if it is 0."""


def library() -> ctypes.CDLL | None:
    """The library, or None where it is not used."""
    return _loaded()[0]


def status() -> str:
    """Whether the library is used, and if not, why."""
    return _loaded()[1]


@cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get(VARIABLE) == "0":
        return None, messages.switched_off(VARIABLE)
    if not PATH.exists():
        return None, messages.NOT_BUILT
    try:
        found = ctypes.CDLL(str(PATH))
        supported = found.doconv_supported()
    except (OSError, AttributeError) as error:  # of another system, or of another version
        return None, messages.not_loaded(error)
    return (found, messages.USED) if supported else (None, messages.NOT_SUPPORTED)
