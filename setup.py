"""The optional compiled kernel; everything else about the distribution is in pyproject.toml.

Without a compiler, or with DOCONV_NATIVE=0, the package installs in pure Python.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

KERNEL = Extension(
    "doconv_core.native._products",
    ["doconv_core/native/products.c"],
    # For GCC and clang. OpenMP is neither compiled in nor linked: a framework's answers.
    extra_compile_args=["-O3", "-Wno-psabi"],
    optional=True,
)
WANTED = sys.platform != "win32" and os.environ.get("DOCONV_NATIVE") != "0"


class AnyPythonsLibrary(build_ext):
    """It is loaded by ctypes, so its name says nothing of a Python."""

    def get_ext_filename(self, fullname: str) -> str:
        """A path from a module's name."""
        return os.path.join(*fullname.split(".")) + ".so"


class AnyPythonsWheel(bdist_wheel):
    """One wheel for a platform serves every Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, its binary interface, the platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[KERNEL] if WANTED else [],
    cmdclass={"build_ext": AnyPythonsLibrary, "bdist_wheel": AnyPythonsWheel},
)
