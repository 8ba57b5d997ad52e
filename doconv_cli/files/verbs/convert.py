"""``doconv convert``: from a plain or official checkpoint to one of DO-Conv layers."""

from __future__ import annotations

from typing import Annotated

import typer

from doconv_cli.files.errors import UsageError, exit_codes
from doconv_cli.files.formats.array_file import ArrayFile
from doconv_cli.files.formats.checkpoint import CheckpointFile, Options
from doconv_cli.files.formats.limits import Limits
from doconv_cli.files.formats.opening import check_names, open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.arrays import channels
from doconv_cli.files.layers.layers import (
    DOLayer,
    Layer,
    OfficialDOLayer,
    PlainLayer,
    check_kernel_sizes,
    trained_parameters,
)
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.only import Only as Picked
from doconv_cli.files.verbs.options import (
    Allow,
    AsJson,
    DropOptimizer,
    File,
    Force,
    KernelSizes,
    MaxBytes,
    Model,
    Official,
    Only,
    Out,
    Transposed,
    Verify,
)
from doconv_cli.files.verbs.verify import Verification
from doconv_cli.text import counted
from doconv_core import DOConvSpec

_LARGEST = 32 * 32
"""Kernel elements beyond which a weight of one axis is taken for something else, unless named."""


def convert(
    file: File,
    out: Out,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--groups",
            metavar="[NAME=]GROUPS",
            help="Plain convolutions to convert and their groups, which most files do not tell: "
            "a number, or 'depthwise'. NAME may hold * and ?; the first that fits counts.",
        ),
    ] = None,
    only: Only = None,
    kernel_size: KernelSizes = None,
    transposed: Transposed = None,
    official: Official = None,
    model: Model = None,
    verify: Verify = False,
    drop_optimizer: DropOptimizer = False,
    allow: Allow = None,
    max_bytes: MaxBytes = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Over-parameterize a checkpoint's convolutions: D = 0, so that they compute the same.

    Official layers become this library's and keep their D.
    """
    with exit_codes(file):
        hints = Hints(kernel_size or (), groups or (), transposed or (), official or ())
        check_names(file, out, force=force)
        options = Options(model, frozenset(allow or ()), Limits(max_bytes), drop_optimizer)
        source = open_file(file, options)
        _check_not_at_optimizer(source)
        layers = source.layers(hints)
        picked = Picked(only or ()).pick(layers, source.sections)
        left = [layer for layer in picked if _is_something_else(layer, hints)]
        chosen = _choose([layer for layer in picked if layer not in left], hints)
        if not chosen:
            raise UsageError(_nothing_chosen(picked))
        check_kernel_sizes(layer for layer, _ in chosen)
        _check_plausible(source, chosen, hints)
        hints.check_used()
        verification = Verification()
        source.convert(
            chosen,
            out,
            (lambda written: verification.convert(chosen, open_file(file, options), written))
            if verify
            else None,
        )
        counts = {layer.name: trained_parameters(spec, layer.bias) for layer, spec in chosen}
        error = verification.largest if verify else None
        notes = [_left(layer) for layer in left if isinstance(layer, PlainLayer)] + source.notes
        report.result("converted", file, out, layers, counts, error, notes, as_json=as_json)


def _choose(layers: list[Layer], hints: Hints) -> list[tuple[Layer, DOConvSpec]]:
    """The layers to convert, with the sizes they get."""
    chosen: list[tuple[Layer, DOConvSpec]] = []
    for layer in layers:
        if isinstance(layer, DOLayer):
            if isinstance(layer, OfficialDOLayer):
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
    transposed = bool(hints.is_transposed(layer.name, needed=False))
    try:
        spec = layer.spec(groups, transposed=transposed)
    except ValueError as fault:
        raise UsageError(f"layer {layer.name!r}: {fault}") from fault
    if layer.bias not in (0, spec.out_channels):
        raise UsageError(
            f"layer {layer.name!r} has {layer.bias} biases and cannot have {spec.out_channels} "
            "outputs: are its groups others, or is it transposed?"
        )
    return spec


def _is_something_else(layer: Layer, hints: Hints) -> bool:
    """Whether a weight of three axes is rather an embedding's; naming it makes it a convolution."""
    if (
        not isinstance(layer, PlainLayer)
        or layer.groups is not None
        or hints.groups.names(layer.name)
    ):
        return False
    return len(layer.shape) == 3 and (layer.shape[0] == 1 or layer.K > _LARGEST)


def _left(layer: PlainLayer) -> str:
    shape = "x".join(map(str, layer.shape))
    return (
        f"{layer.name!r} ({shape}) was left alone: it looks like no convolution; if it is one, "
        f"name it, --groups {layer.name}=1"
    )


def _check_plausible(
    source: CheckpointFile, chosen: list[tuple[Layer, DOConvSpec]], hints: Hints
) -> None:
    """Raise UsageError for groups said of all layers that would give some inputs nothing gives.

    A layer (O, I/g, ...) whose I/g nothing in the file gives, while something gives g I/g for a g
    that divides O, is most likely grouped, or depthwise.
    """
    if not isinstance(source, ArrayFile):
        return
    given, wrong = channels(source), []
    for layer, spec in chosen:
        if isinstance(layer, PlainLayer) and layer.groups is None and spec.groups == 1:
            outputs, inputs = layer.shape[:2]
            if spec.transposed or inputs in (*given, 3) or hints.groups.names(layer.name):
                continue
            groups = [g for g in range(2, outputs + 1) if outputs % g == 0 and g * inputs in given]
            if groups:
                likely = "depthwise" if inputs == 1 and outputs in groups else str(groups[-1])
                wrong.append(f"{layer.name}={likely}")
    if wrong:
        raise UsageError(
            f"--groups 1 cannot be right for {counted(len(wrong), 'layer')}, whose inputs nothing "
            f"in the file gives. Likely: --groups {' --groups '.join(wrong)}; or name them to "
            "convert them with 1"
        )


def _check_not_at_optimizer(source: CheckpointFile) -> None:
    """Raise UsageError where D is in an optimizer: the layers' own would begin anew, from zero."""
    if source.at_optimizer and not source.options.drop_optimizer:
        raise UsageError(
            f"the model of {str(source.path)!r} is plain, and D is at the optimizer "
            f"{', '.join(map(repr, source.at_optimizer))}, for OptimizerDOConv; pass "
            "--drop-optimizer to leave it out, or fold the file first: D then starts from zero"
        )


def _nothing_chosen(layers: list[Layer]) -> str:
    names = [layer.name for layer in layers if isinstance(layer, PlainLayer) and layer.K > 1]
    if not names:
        return "the file has no plain convolution with more than one kernel element"
    return (
        f"the file does not tell the groups of its {counted(len(names), 'convolution')}: pass "
        f"--groups 1, or --groups NAME=GROUPS for some of them, such as {names[0]!r}"
    )
