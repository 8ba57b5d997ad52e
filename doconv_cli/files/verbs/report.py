"""What the commands print: a table or JSON on stdout, notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from doconv_cli.files.layers.layers import DOLayer, Layer


def print_json(values: dict[str, Any]) -> None:
    """Print a JSON object."""
    typer.echo(json.dumps(values, indent=2))


def note_look_alikes(layers: Iterable[Layer]) -> None:
    """Say which layers could be transposed ones for all that their arrays tell."""
    names = [
        layer.name for layer in layers if isinstance(layer, DOLayer) and layer.looks_transposed
    ]
    if names:
        typer.echo(
            f"note: {len(names)} layers, such as {names[0]!r}, are taken for ordinary "
            "convolutions. Transposed ones with as many outputs as inputs have the same shapes: "
            "name any such by --transposed.",
            err=True,
        )


def rows(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    """What is known of each layer, None where the file does not tell.

    W and D are shapes, in the canonical layout (of a plain layer: its weight's);
    ``offset`` is the size of D relative to the identity, by Frobenius norm.
    """
    return [_row(layer) for layer in layers]


def totals(layers: Sequence[Layer]) -> dict[str, int]:
    """Parameters of all convolutions, in the file and folded."""
    counts = [layer.parameters for layer in layers]
    return {
        "parameters": sum(now for now, _ in counts),
        "folded_parameters": sum(folded for _, folded in counts),
    }


def result(
    verb: str,
    path: Path,
    out: Path,
    layers: Sequence[Layer],
    counts: Mapping[str, int],
    error: float | None,
    *,
    as_json: bool,
) -> None:
    """Print what a command did.

    Args:
        verb: "folded" or "converted".
        path: the file read.
        out: the file written.
        layers: all its convolutions.
        counts: new number of parameters of each layer that was changed, by name.
        error: what ``--verify`` found, in ulps; None if not asked.
        as_json: print JSON instead of sentences.
    """
    before = sum(layer.parameters[0] for layer in layers)
    after = sum(counts.get(layer.name, layer.parameters[0]) for layer in layers)
    if as_json:
        figures = {"parameters_before": before, "parameters_after": after, "largest_ulps": error}
        print_json({"file": str(path), "out": str(out), verb: list(counts), **figures})
        return
    typer.echo(
        f"{verb} {len(counts)} of {len(layers)} convolutions, {before:,} parameters to {after:,}: "
        f"{out}"
    )
    if error is not None:
        typer.echo(f"largest difference from the float64 composition: {error:.3f} ulp")


def _row(layer: Layer) -> dict[str, Any]:
    known: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "groups": layer.groups}
    if isinstance(layer, DOLayer):
        known |= {
            "kernel_size": layer.kernel_size,
            "W": layer.W.shape,
            "D": None if layer.D is None else layer.D.shape,
            "D_mul": layer.spec.S,
            "offset": layer.offset,
        }
    else:
        known |= {"kernel_size": layer.shape[2:], "W": layer.shape}
        known |= dict.fromkeys(("D", "D_mul", "offset"))
    now, folded = layer.parameters
    return known | {"dtype": layer.dtype, "parameters": now, "folded_parameters": folded}


def table(path: Path, layers: Sequence[Layer]) -> None:
    """Print the layers as a table."""
    titles = ("layer", "kind", "kernel", "groups", "W", "D", "D_mul", "|D|/|identity|", "type",
              "parameters", "folded")  # fmt: skip
    made = Table(title=str(path), title_justify="left", show_footer=True)
    total = totals(layers)
    footers = {"layer": f"{len(layers)} convolutions", "parameters": f"{total['parameters']:,}",
               "folded": f"{total['folded_parameters']:,}"}  # fmt: skip
    for title in titles:
        left = title in ("layer", "kind")
        made.add_column(
            title, footers.get(title, ""), justify="left" if left else "right", overflow="fold"
        )
    for row in rows(layers):
        made.add_row(
            row["name"] or "(root)", row["kind"], _sizes(row["kernel_size"]),
            _cell(row["groups"]), _sizes(row["W"]), _sizes(row["D"]), _cell(row["D_mul"]),
            "-" if row["offset"] is None else f"{row['offset']:.3g}", row["dtype"],
            _cell(row["parameters"]), _cell(row["folded_parameters"]),
        )  # fmt: skip
    # A pipe has no width of its own; there the rows stay whole.
    Console(width=None if sys.stdout.isatty() else 200).print(made)


def _sizes(sizes: Iterable[int] | None) -> str:
    return "-" if sizes is None else "x".join(map(str, sizes))


def _cell(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
