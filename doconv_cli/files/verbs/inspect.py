"""``doconv inspect``: what convolutions a checkpoint holds."""

from __future__ import annotations

from doconv_cli.files.errors import exit_codes
from doconv_cli.files.formats.opening import open_file
from doconv_cli.files.hints import Hints
from doconv_cli.files.verbs import report
from doconv_cli.files.verbs.options import AsJson, File, Model, Transposed


def inspect(
    file: File, transposed: Transposed = None, model: Model = None, as_json: AsJson = False
) -> None:
    """Show the convolutions of a checkpoint, and how far training has moved D."""
    with exit_codes():
        hints = Hints(transposed=transposed or ())
        layers = open_file(file, model).layers(hints)
        hints.check_used()
        if as_json:
            shown = {"layers": report.rows(layers), **report.totals(layers)}
            report.print_json({"file": str(file), **shown})
        else:
            report.table(file, layers)
        report.note_look_alikes(layers)
