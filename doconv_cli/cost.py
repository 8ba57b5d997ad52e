"""``doconv cost``: the paper's comparison of costs, for one layer or a whole network."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from doconv_core import NETWORKS, DOConvSpec, LayerCost, layer_cost, network_layers

FORMS = {
    "plain": "plain",
    "kernel": "training (kernel)",
    "feature": "training (feature)",
    "folded": "folded",
}


def cost(
    network: Annotated[
        str | None, typer.Option(help=f"A network: {', '.join(NETWORKS)}.", show_default=False)
    ] = None,
    in_channels: Annotated[int, typer.Option("--in", help="Input channels of one layer.")] = 64,
    out_channels: Annotated[int, typer.Option("--out", help="Output channels.")] = 64,
    kernel: Annotated[str, typer.Option(help="Kernel size, such as 3x3 or 5.")] = "3x3",
    groups: Annotated[int, typer.Option(help="Groups; the input channels for depthwise.")] = 1,
    d_mul: Annotated[
        int | None, typer.Option(help="Columns of W.  [default: kernel elements]")
    ] = None,
    size: Annotated[
        int, typer.Option(help="Height and width: of a layer's output, of a network's input.")
    ] = 56,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 32,
    per_layer: Annotated[bool, typer.Option(help="A row for each layer of a network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Count parameters and multiply-accumulates: plain, in training, and folded."""
    try:
        spec = DOConvSpec(in_channels, out_channels, _kernel_size(kernel), groups, d_mul)
        if network is None:
            output_size = (size,) * len(spec.kernel_size)
            rows = {_title(spec): layer_cost(spec, output_size, batch_size=batch)}
        else:
            rows = {
                layer.name: layer_cost(layer.spec, layer.output_size, batch_size=batch)
                for layer in network_layers(network, size)
            }
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(str(error)) from None
    title = network or _title(spec)
    total = _sum(list(rows.values()))
    if as_json:
        shown = {**(rows if per_layer else {}), title: total}
        typer.echo(json.dumps({name: _figures(row) for name, row in shown.items()}, indent=2))
        return
    console = Console()
    if per_layer:
        console.print(_layers_table(rows, batch))
    console.print(_forms_table(title, total, batch))


def _title(spec: DOConvSpec) -> str:
    """How the one layer is called in the output."""
    kernel = "x".join(map(str, spec.kernel_size))
    return f"{spec.kind} {spec.in_channels} -> {spec.out_channels}, {kernel}, D_mul={spec.S}"


def _kernel_size(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--kernel must look like 3x3. Received: {text!r}.") from None


def _sum(costs: list[LayerCost]) -> LayerCost:
    total = costs[0]
    for item in costs[1:]:
        total = total + item
    return total


def _figures(row: LayerCost) -> dict[str, dict[str, int]]:
    return {form: getattr(row, form)._asdict() for form in FORMS}


def _forms_table(title: str, total: LayerCost, batch: int) -> Table:
    table = Table(
        title=f"{title}: one forward pass of {batch} images",
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


def _layers_table(rows: dict[str, LayerCost], batch: int) -> Table:
    table = Table(
        title=f"Layers, {batch} images", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
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
