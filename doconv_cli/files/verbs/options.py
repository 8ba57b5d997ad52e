"""Arguments and options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint, or a folder: sharded safetensors, torch.distributed.checkpoint.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Argument(help="What to write, of the same format.", show_default=False)]
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
        "--transposed",
        metavar="NAME",
        help="Layers that are transposed convolutions, where shapes do not tell; 'none' if none "
        "is. NAME may hold * and ?.",
    ),
]
Official = Annotated[
    list[str] | None,
    typer.Option(
        "--official",
        metavar="NAME",
        help="Layers of a .params file that are the authors', where shapes do not tell; 'none' if "
        "none is. NAME may hold * and ?.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PATH",
        help="Change these layers, or those under this part of the file, and leave the others "
        "as they are. PATH may hold * and ?.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="MODULE.CLASS",
        help="A class whose objects a .pt file may hold beside tensors. They are copied, never "
        "made.",
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        "--max-bytes",
        min=1,
        metavar="BYTES",
        help="What a file's compressed data or objects may take.",
        show_default=False,
    ),
]
DropOptimizer = Annotated[
    bool, typer.Option("--drop-optimizer", help="Leave out the optimizers' states of a .pt file.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT even if it is read-only.")]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL.keras",
        help="For a .weights.h5 file: the model whose weights it holds, converted or not.",
        show_default=False,
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Before it becomes OUT, hold what was written against depthwise and pointwise "
        "convolutions of random numbers in float64.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
