"""``doconv convert``: from a plain or official checkpoint to one of DO-Conv layers."""

from __future__ import annotations

from typing import Annotated

import typer

from doconv_cli.files.errors import UsageError, exit_codes
from doconv_cli.files.formats.opening import check_names, open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import (
    DOLayer,
    Layer,
    PlainLayer,
    check_kernel_sizes,
    trained_parameters,
)
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.options import AsJson, File, KernelSizes, Model, Out, Transposed, Verify
from doconv_cli.files.verbs.verify import verify_convert
from doconv_core import DOConvSpec


def convert(
    file: File,
    out: Out,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]GROUPS",
            help="Plain convolutions to convert and their groups, which most files do not tell: "
            "a number, or 'depthwise'. NAME may hold * and ?; the first that fits counts.",
        ),
    ] = None,
    kernel_size: KernelSizes = None,
    transposed: Transposed = None,
    model: Model = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Over-parameterize a checkpoint's convolutions: D = 0, so that they compute the same.

    Official layers become this library's and keep their D.
    """
    with exit_codes():
        hints = Hints(kernel_size or (), groups or (), transposed or ())
        check_names(file, out)
        source = open_file(file, model)
        layers = source.layers(hints)
        chosen = _choose(layers, hints)
        if not chosen:
            raise UsageError(_nothing_chosen(layers))
        check_kernel_sizes(layer for layer, _ in chosen)
        hints.check_used()
        source.convert(chosen, out)
        error = None
        if verify:  # both files anew: converting may have changed what was read
            changed = [layer for layer, _ in chosen]
            error = verify_convert(changed, open_file(file, model), source.written(out), hints)
        counts = {layer.name: trained_parameters(spec, layer.bias) for layer, spec in chosen}
        report.result("converted", file, out, layers, counts, error, as_json=as_json)


def _choose(layers: list[Layer], hints: Hints) -> list[tuple[Layer, DOConvSpec]]:
    """The layers to convert, with the sizes they get."""
    chosen: list[tuple[Layer, DOConvSpec]] = []
    for layer in layers:
        if isinstance(layer, DOLayer):
            if layer.official is not None:
                chosen.append((layer, layer.spec))
        elif layer.K > 1 and (groups := _groups(layer, hints)) is not None:
            chosen.append((layer, _spec(layer, groups, hints)))
    return chosen


def _groups(layer: PlainLayer, hints: Hints) -> int | None:
    asked = layer.groups or hints.groups.get(layer.name)
    if not isinstance(asked, str):
        return asked
    if layer.shape[1] != 1:
        raise UsageError(f"layer {layer.name!r} of shape {layer.shape} is not depthwise")
    return layer.shape[0]


def _spec(layer: PlainLayer, groups: int, hints: Hints) -> DOConvSpec:
    try:
        spec = layer.spec(groups, transposed=bool(hints.transposed.get(layer.name)))
    except ValueError as fault:
        raise UsageError(f"layer {layer.name!r}: {fault}") from fault
    if layer.bias not in (0, spec.out_channels):
        raise UsageError(
            f"layer {layer.name!r} has {layer.bias} biases and cannot have {spec.out_channels} "
            "outputs: are its groups others, or is it transposed?"
        )
    return spec


def _nothing_chosen(layers: list[Layer]) -> str:
    names = [layer.name for layer in layers if isinstance(layer, PlainLayer) and layer.K > 1]
    if not names:
        return "the file has no plain convolution with more than one kernel element"
    return (
        f"the file does not tell the groups of its {len(names)} convolutions: pass --groups 1, or "
        f"--groups NAME=GROUPS for some of them, such as {names[0]!r}"
    )
