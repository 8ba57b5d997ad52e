"""Write the adapters' ``__init__.pyi``: what an editor and a type checker see of the layers.

    make stubs

The layers share one constructor that takes what their host takes; so their signatures exist only
when they run, and what they return depends on the host. Everything else is typed where it is
written, and passed on.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SIZE = "int | tuple[int, ...]"
CHOICES = {
    "composition": 'Literal["kernel", "feature"]',
    "evaluation": 'Literal["auto", "kernels", "outputs"]',
    "D_init": 'Literal["identity", "random"]',
    "W_extra_init": 'Literal["zeros", "random"]',
}
"""Those of our own arguments that are one of a few words."""

OF_KERAS = {
    **dict.fromkeys(("filters", "groups", "depth_multiplier"), "int"),
    **dict.fromkeys(("kernel_size", "strides", "dilation_rate"), SIZE),
    "output_padding": f"{SIZE} | None",
    "padding": "str",
    "data_format": "str | None",
    "use_bias": "bool",
}
"""Types of arguments that neither Keras declares."""


@dataclass(frozen=True)
class Adapter:
    """What the stub of one adapter needs to know of its framework.

    Attributes:
        package: its name.
        imports: the lines that its types need.
        base: the class of everything that is a layer.
        hosts: the module of the hosts.
        prefix: how that module is written.
        array: the type of a composed kernel.
        call: what calling a layer takes and gives.
        folds_to_host: whether ``fold`` tells layers apart. Where a framework has no types, every
            class fits every other, so the first overload would always win.
        transposed_call: the same for transposed layers, where it differs.
        routed_call: the same for CondConv layers.
        attributes: of every over-parameterized layer.
        arguments: types that the framework's own signatures lack, by the argument's name.
    """

    package: str
    imports: tuple[str, ...]
    base: str
    hosts: str
    prefix: str
    array: str
    call: str
    routed_call: str
    attributes: tuple[str, ...]
    folds_to_host: bool = False
    transposed_call: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


ADAPTERS = {
    "torch": Adapter(
        "doconv_torch",
        ("from torch import Tensor, nn",),
        "nn.Module",
        "torch.nn",
        "nn",
        "Tensor",
        "(self, input: Tensor) -> Tensor",
        "(self, input: Tensor, alpha: Tensor | None = None) -> Tensor",
        ("D: nn.Parameter | None", "W_extra: nn.Parameter | None"),
        folds_to_host=True,
        transposed_call="(self, input: Tensor, output_size: list[int] | None = None) -> Tensor",
        arguments={"device": "torch.device | str | int | None", "dtype": "torch.dtype | None"},
    ),
    "keras": Adapter(
        "doconv_tf",
        ("import keras",),
        "keras.layers.Layer",
        "keras.layers",
        "keras.layers",
        "Any",
        "(self, inputs: Any, *args: Any, **kwargs: Any) -> Any",
        "(self, inputs: Any, alpha: Any = None, *args: Any, **kwargs: Any) -> Any",
        ("D: keras.Variable | None", "W_extra: keras.Variable | None"),
        arguments=OF_KERAS,
    ),
    "tf_keras": Adapter(
        "doconv_tf_keras",
        ("import tensorflow as tf", "import tf_keras"),
        "tf_keras.layers.Layer",
        "tf_keras.layers",
        "tf_keras.layers",
        "Any",
        "(self, inputs: Any, *args: Any, **kwargs: Any) -> Any",
        "",  # it has no CondConv layers
        ("D: tf.Variable | None", "W_extra: tf.Variable | None"),
        arguments=OF_KERAS,
    ),
    "gluon": Adapter(
        "doconv_gluon",
        ("from mxnet.gluon import Parameter, nn",),
        "nn.HybridBlock",
        "mxnet.gluon.nn",
        "nn",
        "Any",
        "(self, x: _Array) -> _Array",
        "(self, x: _Array, alpha: _Array | None = None) -> _Array",
        ("D: Parameter | None", "W_extra: Parameter | None"),
        arguments={
            **dict.fromkeys(("channels", "groups", "in_channels"), "int"),
            **dict.fromkeys(
                ("kernel_size", "strides", "padding", "dilation", "output_padding"), SIZE
            ),
            "layout": "str",
            "activation": "str | None",
            "use_bias": "bool",
        },
    ),
}
"""By the name of the framework."""


def stub(adapter: Adapter) -> str:
    """The text of the adapter's ``__init__.pyi``."""
    package = importlib.import_module(adapter.package)
    source = ast.parse((ROOT / adapter.package / "__init__.py").read_text())
    layers = {name: getattr(package, name) for name in package.__all__ if _is_layer(package, name)}
    passed_on = [
        f"from {node.module} import {alias.name} as {alias.name}"
        for node in source.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in package.__all__
        and alias.name not in layers
        and not (alias.name == "fold" and adapter.folds_to_host)
    ]
    classes = [_class(adapter, name, layer) for name, layer in layers.items()]
    overloads = [_fold(package, layers, adapter)] if adapter.folds_to_host else []
    body = "\n\n".join([*classes, *overloads])
    names = "".join(f'    "{name}",\n' for name in package.__all__)
    variables = [f'_Model = TypeVar("_Model", bound={adapter.base})'] if overloads else []
    variables += ['_Array = TypeVar("_Array")'] if "_Array" in body else []
    said = f"{body}{variables}"
    names_of_typing = ("Any", "Literal", "TypeVar", "overload")
    typed = [each for each in names_of_typing if re.search(rf"\b{each}\b", said)]
    imports = [f"from typing import {', '.join(typed)}", ""]
    imports += (["import torch"] if "torch." in body else []) + [*adapter.imports, ""]
    imports += ["from typing_extensions import Self", ""]
    imports += ["from doconv_core import DOConvSpec"] if "DOConvSpec" in body else []
    imports += [*sorted(passed_on), "", *variables]
    head = "# Written by `make stubs`: do not edit.\n\n"
    return f"{head}{chr(10).join(imports)}\n\n__all__ = [\n{names}]\n\n{body}\n"


def _is_layer(package: types.ModuleType, name: str) -> bool:
    thing = getattr(package, name)
    return inspect.isclass(thing) and name != "OptimizerDOConv"


def _class(adapter: Adapter, name: str, layer: Any) -> str:
    host: Any = getattr(layer, "host", None)
    ours = name.startswith("DO")
    base = f"{adapter.prefix}.{host.__name__}" if ours else _base(adapter, layer)
    call = adapter.call
    if "Transpose" in name and adapter.transposed_call:
        call = adapter.transposed_call
    elif name.startswith("CondConv"):
        call = adapter.routed_call
    lines = [f"class {name}({base}):"]
    if ours:
        lines += [*adapter.attributes, "D_mul: int", 'composition: Literal["kernel", "feature"]']
        lines += (
            ["@property", "def spec(self) -> DOConvSpec: ..."] if hasattr(layer, "spec") else []
        )
    lines += [f"def __init__({_parameters(adapter, layer)}) -> None: ..."]
    lines += [f"def __call__{call}: ..."]
    if hasattr(layer, "composed_kernel"):
        lines += [f"def composed_kernel(self) -> {adapter.array}: ..."]
    if hasattr(layer, "from_conv"):
        more = ", ".join(
            _parameter(p, adapter, layer.from_conv)
            for p in list(inspect.signature(layer.from_conv).parameters.values())[1:]
        )
        lines += ["@classmethod", f"def from_conv(cls, conv: {base}, *, {more}) -> Self: ..."]
    if hasattr(layer, "fold"):
        lines += [f"def fold(self) -> {base if ours else name}: ..."]
    return "\n    ".join(lines)


def _base(adapter: Adapter, layer: Any) -> str:
    """The framework's class that a layer without a host is made from."""
    hosts = importlib.import_module(adapter.hosts)
    for each in layer.__mro__[1:]:
        name: str = each.__name__
        if getattr(hosts, name, None) is each:
            return f"{adapter.prefix}.{name}"
    return adapter.base


def _parameters(adapter: Adapter, layer: Any) -> str:
    parameters = list(inspect.signature(layer).parameters.values())
    parts, starred = ["self"], False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(_parameter(each, adapter, layer.__init__))
    return ", ".join(parts)


def _parameter(parameter: inspect.Parameter, adapter: Adapter, owner: Any) -> str:
    name = f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{name}: {_type(parameter, adapter, owner)}{default}"


def _type(parameter: inspect.Parameter, adapter: Adapter, owner: Any) -> str:
    if parameter.name == "D_mul":
        return "int | None" if parameter.annotation == "int | None" else 'int | Literal["K"] | None'
    if parameter.name in CHOICES:
        return CHOICES[parameter.name]
    found: Any = parameter.annotation
    if isinstance(found, str):
        found = eval(found, vars(sys.modules[owner.__module__]))
    if found in (parameter.empty, Any):
        return adapter.arguments.get(parameter.name, "Any")
    return _written(found)


def _written(found: Any) -> str:
    """An annotation as it is written."""
    if typing.get_origin(found) in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(_written, typing.get_args(found))))
    if typing.get_origin(found) is typing.Literal:
        return f"Literal[{', '.join(map(repr, typing.get_args(found)))}]"
    if found is type(None):
        return "None"
    if inspect.isclass(found) and not typing.get_origin(found):
        module = "" if found.__module__ == "builtins" else f"{found.__module__}."
        return module + found.__name__
    return str(found)


def _fold(package: types.ModuleType, layers: dict[str, Any], adapter: Adapter) -> str:
    """``fold`` of a DO-Conv layer is of the host's class; of a model, of its own."""
    _, *rest = inspect.signature(package.fold).parameters.values()
    more = ", ".join(_parameter(p, adapter, package.fold) for p in rest)
    folded = [
        (name, f"{adapter.prefix}.{layer.host.__name__}")
        for name, layer in layers.items()
        if name.startswith("DO")
    ]
    return "\n".join(
        f"@overload\ndef fold(model: {model}, *, {more}) -> {result}: ..."
        for model, result in [*folded, ("_Model", "_Model")]
    )


def main() -> None:
    for adapter in ADAPTERS.values():
        path = ROOT / adapter.package / "__init__.pyi"
        path.write_text(stub(adapter))
        for command in (["check", "--select=I", "--fix"], ["format"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", path], check=True)


if __name__ == "__main__":
    main()
