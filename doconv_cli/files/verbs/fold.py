"""``doconv fold``: from a checkpoint of DO-Conv layers to the plain model's."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from doconv_cli.files.errors import exit_codes
from doconv_cli.files.formats.opening import check_names, open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import DOLayer, check_kernel_sizes
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.options import AsJson, File, KernelSizes, Model, Out, Transposed, Verify
from doconv_cli.files.verbs.verify import verify_fold


class DType(str, Enum):
    """What a kernel can be rounded to."""

    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"
    float64 = "float64"


def fold(
    file: File,
    out: Out,
    kernel_size: KernelSizes = None,
    transposed: Transposed = None,
    dtype: Annotated[
        DType | None,
        typer.Option(help="The folded kernels' type; other arrays keep theirs.  [default: W's]"),
    ] = None,
    model: Model = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Fold the DO-Conv layers of a checkpoint; its keys become the plain model's."""
    with exit_codes():
        hints = Hints(kernel_size=kernel_size or (), transposed=transposed or ())
        check_names(file, out)
        source = open_file(file, model)
        layers = source.layers(hints)
        chosen = [layer for layer in layers if isinstance(layer, DOLayer)]
        if not chosen:
            raise ValueError(f"{str(file)!r} has no DO-Conv layer")
        check_kernel_sizes(chosen)
        hints.check_used()
        as_type = dtype.value if dtype else None
        source.fold(chosen, out, as_type)
        error = verify_fold(chosen, source.written(out), as_type) if verify else None
        report.note_look_alikes(chosen)
        counts = {layer.name: layer.parameters[1] for layer in chosen}
        report.result("folded", file, out, layers, counts, error, as_json=as_json)
