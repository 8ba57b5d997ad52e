"""What the commands print: a table or JSON on stdout, notes on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from doconv_cli.files.errors import PrintingError
from doconv_cli.files.layers.layers import DOLayer, Layer
from doconv_cli.text import counted, printable


def inspection(
    path: Path,
    layers: Sequence[Layer],
    found: Mapping[str, Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Print what a file holds.

    Args:
        path: the file.
        layers: its convolutions.
        found: places in the file: "state_dicts" with convolutions; "at_optimizer", where
            optimizers over-parameterize a plain model's training; "unplaced", what may be a D and
            is of no layer.
        as_json: print JSON instead of a table.

    Raises:
        PrintingError: nothing could be printed.
    """
    shown = {"layers": rows(layers), **totals(layers)}
    sections = found["state_dicts"]
    with _printing("this could not be printed"):
        if as_json:
            print_json({"file": str(path), **shown, **found})
        else:
            table(path, layers)
            if len(sections) != 1 or any(sections):
                places = ", ".join(repr(section or "(the file)") for section in sections)
                typer.echo(f"{counted(len(sections), 'state dict')} with convolutions: {places}")
    ambiguous = [layer.name for layer in layers if isinstance(layer, DOLayer) and layer.ambiguous]
    if ambiguous:
        _note(
            f"{counted(len(ambiguous), 'layer')} may be transposed ones, for all that the file "
            f"tells; fold will ask for --transposed: {', '.join(map(repr, ambiguous))}"
        )
    if found["at_optimizer"]:
        _note(
            "the model is plain, and over-parameterized at the optimizer (OptimizerDOConv): "
            f"{', '.join(map(repr, found['at_optimizer']))}"
        )
    if found["unplaced"]:
        _note(f"of no layer, but named like a D: {', '.join(map(repr, found['unplaced']))}")


def result(
    verb: str,
    path: Path,
    out: Path,
    layers: Sequence[Layer],
    counts: Mapping[str, int],
    error: float | None,
    notes: Sequence[str],
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
        notes: what became of all else.
        as_json: print JSON instead of sentences.

    Raises:
        PrintingError: nothing could be printed, though the file was written.
    """
    before = sum(layer.parameters[0] for layer in layers)
    after = sum(counts.get(layer.name, layer.parameters[0]) for layer in layers)
    with _printing(f"{str(out)!r} was written, but this could not be printed"):
        if as_json:
            figures = {"parameters_before": before, "parameters_after": after}
            print_json(
                {"file": str(path), "out": str(out), verb: list(counts), **figures,
                 "largest_ulps": error, "notes": list(notes)}
            )  # fmt: skip
        else:
            typer.echo(
                f"{verb} {len(counts)} of {counted(len(layers), 'convolution')}, {before:,} "
                f"parameters to {after:,}: {printable(str(out))}"
            )
            if error is not None:
                typer.echo(f"largest difference from feature composition: {error:.3f} ulp")
    for note in notes:
        _note(note)


@contextmanager
def _printing(failure: str) -> Iterator[None]:
    """Turn what goes wrong with stdout into a PrintingError, here rather than when it is closed."""
    try:
        yield
        sys.stdout.flush()
    except OSError as fault:
        raise PrintingError(f"{failure}: {fault.strerror}") from fault


def print_json(values: dict[str, Any]) -> None:
    """Print a JSON object; what is not finite, which JSON cannot say, is null."""
    typer.echo(json.dumps(values, indent=2, allow_nan=False))


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


def _note(text: str) -> None:
    typer.echo(f"note: {printable(text)}", err=True)


def _row(layer: Layer) -> dict[str, Any]:
    known: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "groups": layer.groups}
    if isinstance(layer, DOLayer):
        offset = layer.offset
        known |= {
            "kernel_size": layer.kernel_size,
            "W": layer.spec.W_shape,
            "D": layer.spec.D_shape if layer.spec.has_D else None,
            "D_mul": layer.spec.S,
            "offset": offset if math.isfinite(offset) else None,
            "ambiguous": layer.ambiguous,
        }
    else:
        known |= {"kernel_size": layer.shape[2:], "W": layer.shape}
        known |= dict.fromkeys(("D", "D_mul", "offset"))
        known["ambiguous"] = False
    now, folded = layer.parameters
    return known | {"dtype": layer.dtype, "parameters": now, "folded_parameters": folded}


def table(path: Path, layers: Sequence[Layer]) -> None:
    """Print the layers as a table."""
    titles = ("layer", "kind", "kernel", "groups", "W", "D", "D_mul", "|D|/|identity|", "type",
              "parameters", "folded")  # fmt: skip
    made = Table(title=Text(printable(str(path))), title_justify="left", show_footer=True)
    total = totals(layers)
    footers = {"layer": counted(len(layers), "convolution"),
               "parameters": f"{total['parameters']:,}",
               "folded": f"{total['folded_parameters']:,}"}  # fmt: skip
    for title in titles:
        left = title in ("layer", "kind")
        made.add_column(
            title, footers.get(title, ""), justify="left" if left else "right", overflow="fold"
        )
    names = []
    for row in rows(layers):
        names.append(printable(row["name"]) or "(root)")
        made.add_row(
            Text(names[-1]), row["kind"], _sizes(row["kernel_size"]),
            _cell(row["groups"]), _sizes(row["W"]), _sizes(row["D"]), _cell(row["D_mul"]),
            "-" if row["offset"] is None else f"{row['offset']:.3g}", row["dtype"],
            _cell(row["parameters"]), _cell(row["folded_parameters"]),
        )  # fmt: skip
    # A pipe has no width of its own; there the rows stay whole.
    width = 200 + max(map(cell_len, names), default=0)
    Console(width=None if sys.stdout.isatty() else width, highlight=False).print(made)


def _sizes(sizes: Iterable[int] | None) -> str:
    return "-" if sizes is None else "x".join(map(str, sizes))


def _cell(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
