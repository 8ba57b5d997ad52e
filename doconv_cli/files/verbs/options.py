"""Arguments and options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="A checkpoint.", show_default=False)]
Out = Annotated[
    Path, typer.Argument(help="The file to write, of the same format.", show_default=False)
]
KernelSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel-size",
        metavar="[NAME=]SIZE",
        help="For official PyTorch layers, whose files do not tell: 3x3, or 'square'. NAME may "
        "hold * and ?; the first that fits a layer counts.",
    ),
]
Transposed = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Layers that are transposed convolutions, where shapes do not tell. NAME may hold "
        "* and ?.",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL.keras",
        help="For a .weights.h5 file: the model whose weights it holds, converted or not.",
        show_default=False,
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read OUT again and hold its kernels against a float64 composition."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
