"""``doconv cost``: the papers' comparison of costs, for one layer or a whole network."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from doconv_cli.text import counted
from doconv_core import (
    NETWORKS,
    CondConvSpec,
    DOConvSpec,
    LayerCost,
    NetworkLayer,
    condconv_cost,
    layer_cost,
    network_layers,
)

FORMS = {
    "plain": "plain",
    "kernel": "training (kernel)",
    "feature": "training (feature)",
    "folded": "folded",
}
_EXPERTS = 8
"""Of the networks that are CondConv's, as in its paper's table."""


def cost(
    network: Annotated[
        str | None, typer.Option(help=f"A network: {', '.join(NETWORKS)}.", show_default=False)
    ] = None,
    in_channels: Annotated[int, typer.Option("--in", help="Input channels of one layer.")] = 64,
    out_channels: Annotated[int, typer.Option("--out", help="Output channels.")] = 64,
    kernel_size: Annotated[
        str, typer.Option("--kernel-size", help="Kernel size, such as 3x3 or 5.")
    ] = "3x3",
    groups: Annotated[int, typer.Option(help="Groups; the input channels for depthwise.")] = 1,
    d_mul: Annotated[
        int | None, typer.Option(help="Columns of W.  [default: kernel elements]")
    ] = None,
    experts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CondConv's experts, of one layer or of a condconv network.  [default: none; "
            f"{_EXPERTS} in such networks]",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Height and width: of a layer's output, of a network's input.  [default: 56; "
            "224 for networks]"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 32,
    per_layer: Annotated[bool, typer.Option(help="A row for each layer of a network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Count parameters and multiply-accumulates: plain, in training, and folded."""
    try:
        spec = DOConvSpec(in_channels, out_channels, _kernel_size(kernel_size), groups, d_mul)
        if network is None:
            size = 56 if size is None else size
            title, pixels = _title(spec), "x".join([str(size)] * len(spec.kernel_size))
            one = NetworkLayer(title, spec, (size,) * len(spec.kernel_size), bool(experts), True)
            layers, where = [one], f"an output of {pixels}"
        else:
            size = 224 if size is None else size
            layers, title = list(network_layers(network, size)), network
            where = f"{size}x{size} pixels"
            if experts and not any(layer.conditional for layer in layers):
                raise ValueError(f"--experts: {network} is not one of CondConv's networks")
        experts = experts or _EXPERTS
        rows = {layer.name: _cost(layer, experts, batch) for layer in layers}
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(str(error)) from None
    if any(layer.conditional for layer in layers):
        title += f", {counted(experts, 'expert')}"
    total = _sum(list(rows.values()))
    if as_json:
        shown = {**(rows if per_layer else {}), title: total}
        typer.echo(json.dumps({name: _figures(row) for name, row in shown.items()}, indent=2))
        return
    console = Console()
    images = f"{counted(batch, 'image')}, {where}"
    if per_layer:
        console.print(_layers_table(rows, images))
    console.print(_forms_table(title, total, images))


def _cost(layer: NetworkLayer, experts: int, batch: int) -> LayerCost:
    """What a layer costs; as CondConv, mixed kernels, whose training composes every expert's."""
    spec = layer.spec
    if not layer.conditional:
        return layer_cost(spec, layer.output_size, batch_size=batch)
    sizes = (spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups)
    conditional = CondConvSpec(*sizes, num_experts=experts, D_mul=spec.S if spec.has_D else None)
    own = condconv_cost(conditional, layer.output_size, batch_size=batch, routing=layer.routing)
    return own.layer


def _title(spec: DOConvSpec) -> str:
    """How the one layer is called in the output."""
    kernel = "x".join(map(str, spec.kernel_size))
    return f"{spec.kind} {spec.in_channels} -> {spec.out_channels}, {kernel}, D_mul={spec.S}"


def _kernel_size(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--kernel-size must look like 3x3. Received: {text!r}.") from None


def _sum(costs: list[LayerCost]) -> LayerCost:
    total = costs[0]
    for item in costs[1:]:
        total = total + item
    return total


def _figures(row: LayerCost) -> dict[str, dict[str, int]]:
    return {form: getattr(row, form)._asdict() for form in FORMS}


def _forms_table(title: str, total: LayerCost, images: str) -> Table:
    table = Table(
        title=f"{title}: one forward pass of {images}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("parameters", "", "MACs", ""):
        table.add_column(name, justify="right")
    for form, words in FORMS.items():
        cost = getattr(total, form)
        table.add_row(
            words,
            f"{cost.parameters:,}",
            _more(cost.parameters, total.plain.parameters),
            f"{cost.macs:,}",
            _more(cost.macs, total.plain.macs),
        )
    return table


def _layers_table(rows: dict[str, LayerCost], images: str) -> Table:
    table = Table(title=f"Layers, {images}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("parameters", "trained", "MACs", "kernel", "feature"):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row.plain.parameters:,}",
            _more(row.kernel.parameters, row.plain.parameters),
            f"{row.plain.macs:,}",
            _more(row.kernel.macs, row.plain.macs),
            _more(row.feature.macs, row.plain.macs),
        )
    return table


def _more(now: int, plain: int) -> str:
    return f"{now / plain - 1:+.2%}" if now != plain else ""
