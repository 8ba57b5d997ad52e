"""The plan of the house: which packages and rooms there are, and which lie below which."""

from __future__ import annotations

CORE = "doconv_core"
KERAS = "doconv_keras"
ADAPTERS = ("doconv_torch", "doconv_tf", "doconv_tf_keras", "doconv_gluon")
CLI = "doconv_cli"
BENCHMARKS = "benchmarks"

BELOW: dict[str, tuple[str, ...]] = {
    CORE: (),
    KERAS: (CORE,),
    **dict.fromkeys(ADAPTERS, (CORE,)),
    **dict.fromkeys(("doconv_tf", "doconv_tf_keras"), (CORE, KERAS)),
    CLI: (CORE, *ADAPTERS),
    BENCHMARKS: (CORE, *ADAPTERS, CLI),
}
"""What a package may import besides itself."""

FLOORS: dict[str, tuple[str, ...]] = {
    CORE: ("frameworks", "messages", "native", "kernel", "neighbours", "costs", "model",
           "official", "files", "checkpoint"),
    KERAS: ("messages", "tensors", "layers", "model"),
    **dict.fromkeys(ADAPTERS, ("messages", "mxnet", "tensors", "layers", "model", "model_zoo")),
}  # fmt: skip
"""The rooms of a package from the ground up: a room may import itself and those before it."""

ROOMS = {
    "": {"messages"},
    "tensors": {"composition", "initialization", "mixing"},
    "layers": {"arrays", "condconv", "do_conv", "families", "folding", "hosts", "routing",
               "xsepconv"},
    "model": {"conversion", "official", "replacement", "state", "summary", "training", "walk"},
}  # fmt: skip
"""The files of every adapter, by room."""

EXTRAS: dict[str, dict[str, set[str]]] = {
    "doconv_torch": {
        "tensors": {"arithmetic", "memory", "native", "products"},
        "layers": {"exporting", "parametrized"},
        "model": {"at_optimizer", "checks", "factored"},
    },
    "doconv_tf": {"layers": {"base", "copying", "exporting", "nesting", "swapping"}},
    "doconv_tf_keras": {"layers": {"base", "copying", "nesting", "swapping"}},
    "doconv_gluon": {
        "": {"model_zoo", "mxnet"},
        "tensors": {"deconvolution", "forms", "kinds", "native"},
        "layers": {"copying", "execution", "graphs", "sharing"},
    },
}
"""What one adapter needs beside them."""

WITHOUT: dict[str, dict[str, set[str]]] = {
    # Keras 3 has them, and what is built with them runs there; Model Garden has neither.
    "doconv_tf_keras": {
        "tensors": {"mixing"},
        "layers": {"condconv", "routing", "xsepconv"},
        "model": {"replacement"},
    },
}
"""What one adapter has not, with the reason."""

LAYER_CLASSES = ("base", "do_conv", "condconv", "xsepconv")
"""The files of ``layers`` that define classes; a file of ``model`` asks families.py instead."""

NAMED_IN_MODEL = {
    ("replacement", "xsepconv"): "it makes XSepConv layers, which are of no family",
}

HIDDEN = {
    ("doconv_cli.__main__", "doconv_cli.main"): "what it needs may be missing, and is then named",
    ("doconv_cli.demo.command", "doconv_cli.demo"): "scikit-learn and matplotlib take seconds",
    ("doconv_cli.files.verbs.inspect", "doconv_cli.files.verbs.plot"): "matplotlib, if asked for",
    ("doconv_cli.files.formats.opening", "doconv_cli.files.formats.official_h5"): "h5py, likewise",
    ("benchmarks.accuracy.evidence.family", "benchmarks.with_torch"): "pages need no framework",
    ("benchmarks.accuracy.evidence.family", "doconv_torch"): "likewise",
    ("benchmarks.frame.memory_child", "benchmarks.with_torch.memory"): "of one framework only",
}
"""Imports inside functions, each with its reason; everything else stands at the top."""
