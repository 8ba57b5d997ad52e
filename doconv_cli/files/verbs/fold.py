"""``doconv fold``: from a checkpoint of DO-Conv layers to the plain model's."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from doconv_cli.files.errors import exit_codes
from doconv_cli.files.formats.checkpoint import Options
from doconv_cli.files.formats.limits import Limits
from doconv_cli.files.formats.opening import check_names, open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import DOLayer, check_kernel_sizes, check_unambiguous
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.only import Only as Picked
from doconv_cli.files.verbs.only import check_nothing_left
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


class DType(str, Enum):
    """What a kernel can be rounded to."""

    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"
    float64 = "float64"


def fold(
    file: File,
    out: Out,
    only: Only = None,
    kernel_size: KernelSizes = None,
    transposed: Transposed = None,
    official: Official = None,
    dtype: Annotated[
        DType | None,
        typer.Option(help="The folded kernels' type; other arrays keep theirs.  [default: W's]"),
    ] = None,
    model: Model = None,
    verify: Verify = False,
    drop_optimizer: DropOptimizer = False,
    allow: Allow = None,
    max_bytes: MaxBytes = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fold the DO-Conv layers of a checkpoint; its keys become the plain model's."""
    with exit_codes(file):
        hints = Hints(kernel_size or (), (), transposed or (), official or ())
        check_names(file, out, force=force)
        options = Options(model, frozenset(allow or ()), Limits(max_bytes), drop_optimizer)
        source = open_file(file, options)
        layers = source.layers(hints)
        picked = Picked(only or ()).pick(layers, source.sections)
        chosen = [layer for layer in picked if isinstance(layer, DOLayer)]
        if not only:
            check_nothing_left(source, layers, chosen)
        if not (chosen or source.at_optimizer):
            raise ValueError(f"{str(file)!r} has no DO-Conv layer")
        check_kernel_sizes(chosen)
        check_unambiguous(chosen)
        hints.check_used()
        as_type = dtype.value if dtype else None
        verification = Verification()
        source.fold(
            chosen,
            out,
            as_type,
            (lambda written: verification.fold(chosen, written, as_type)) if verify else None,
        )
        counts = {layer.name: layer.parameters[1] for layer in chosen}
        error = verification.largest if verify else None
        report.result("folded", file, out, layers, counts, error, source.notes, as_json=as_json)
