"""The frameworks that have an adapter; the core imports none of them."""

from __future__ import annotations

from typing import NamedTuple


class Framework(NamedTuple):
    """One framework.

    Attributes:
        name: what options and tests call it.
        adapter: our package for it.
        extra: what ``pip install 'doconv-layers[...]'`` calls it.
        packages: the distributions that a record of a measurement names.
        module: what must be importable for it to be there.
    """

    name: str
    adapter: str
    extra: str
    packages: tuple[str, ...]
    module: str


FRAMEWORKS = {
    each.name: each
    for each in (
        Framework("torch", "doconv_torch", "torch", ("torch",), "torch"),
        Framework("keras", "doconv_tf", "tf", ("keras", "tensorflow", "tensorflow-cpu"), "keras"),
        Framework("tf_keras", "doconv_tf_keras", "tf-keras",
                  ("tf_keras", "tensorflow", "tensorflow-cpu"), "tf_keras"),
        Framework("gluon", "doconv_gluon", "gluon", ("mxnet", "gluoncv"), "mxnet"),
    )
}  # fmt: skip
