"""The frameworks that have an adapter; the core imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Framework(NamedTuple):
    """One framework.

    Attributes:
        name: what options and tests call it.
        adapter: our package for it.
        extra: what ``pip install 'doconv-layers[...]'`` calls it.
        packages: the distributions that a record of a measurement names.
        module: what must be importable for it to be there.
        last_python: the last Python that it has a release for; None where it is maintained.
    """

    name: str
    adapter: str
    extra: str
    packages: tuple[str, ...]
    module: str
    last_python: tuple[int, int] | None = None

    def missing(self, module: str) -> str:
        """What to do where ``module``, which is part of it or which it needs, is not installed."""
        rule = f"{self.adapter} needs the Python package {module!r}, which is not installed"
        if self.last_python and sys.version_info[:2] > self.last_python:
            here, last = (".".join(map(str, v)) for v in (sys.version_info[:2], self.last_python))
            return f"{rule}; it has no release for Python {here}. Use Python {last} or older."
        return f"{rule}. Install it: pip install 'doconv-layers[{self.extra}]'"


FRAMEWORKS = {
    each.name: each
    for each in (
        Framework("torch", "doconv_torch", "torch", ("torch",), "torch"),
        Framework("keras", "doconv_tf", "tf", ("keras", "tensorflow", "tensorflow-cpu"), "keras"),
        Framework("tf_keras", "doconv_tf_keras", "tf-keras",
                  ("tf_keras", "tensorflow", "tensorflow-cpu"), "tf_keras"),
        Framework("gluon", "doconv_gluon", "gluon", ("mxnet", "gluoncv"), "mxnet", (3, 11)),
    )
}  # fmt: skip


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Around an adapter's first import of its framework: says what to install where it is missing.

    A framework that is there and fails in another way says so itself.

    Raises:
        ImportError: from the ModuleNotFoundError that names the missing package.

    Example:
        >>> with importing("torch"):
        ...     import no_such_package  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ImportError: doconv_torch needs ... pip install 'doconv-layers[torch]'
    """
    try:
        yield
    except ModuleNotFoundError as cause:
        module = (cause.name or FRAMEWORKS[name].module).partition(".")[0]
        raise ImportError(FRAMEWORKS[name].missing(module), name=module) from cause
