"""``doconv inspect``: what convolutions a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doconv_cli.files.errors import exit_codes
from doconv_cli.files.formats.checkpoint import Options
from doconv_cli.files.formats.limits import Limits
from doconv_cli.files.formats.opening import open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.only import Only as Picked
from doconv_cli.files.verbs.options import (
    Allow,
    AsJson,
    File,
    KernelSizes,
    MaxBytes,
    Model,
    Official,
    Only,
    Transposed,
)


def inspect(
    file: File,
    only: Only = None,
    kernel_size: KernelSizes = None,
    transposed: Transposed = None,
    official: Official = None,
    model: Model = None,
    allow: Allow = None,
    max_bytes: MaxBytes = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Draw D and what it does to the kernels."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the convolutions of a checkpoint, and how far training has moved D.

    Only the file's header is read, and the D's.
    """
    with exit_codes(file):
        hints = Hints(kernel_size or (), (), transposed or (), official or ())
        options = Options(model, frozenset(allow or ()), Limits(max_bytes))
        source = open_file(file, options)
        every = source.layers(hints)
        hints.check_used()
        layers = Picked(only or ()).pick(every, source.sections)
        if plot is not None:
            from doconv_cli.files.verbs.plot import draw

            draw(layers, plot, file.name)
        found = {
            "state_dicts": source.sections,
            "at_optimizer": source.at_optimizer,
            "unplaced": source.unplaced(every),
        }
        report.inspection(file, layers, found, as_json=as_json)
