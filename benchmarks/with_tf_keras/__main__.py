"""The whole training step in tf_keras, beside the plain one and beside those of Keras 3.

python -m benchmarks.with_tf_keras --preset short
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from benchmarks.frame.program import Preset, machine, versions
from benchmarks.frame.table import ratio_table
from benchmarks.frame.timing import interleave, ratios
from benchmarks.subjects.work import WORKS
from benchmarks.with_tf_keras.step import WAYS, step

ROUNDS = {"tiny": 1, "short": 7, "full": 11}


def main(
    preset: Annotated[Preset, typer.Option(help="How much of it.")] = Preset.short,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured.")] = None,
) -> None:
    """Measure training steps, interleaved in one process, as ratios to the plain ones."""
    console = Console()
    console.print(f"{machine()}, {versions('tf_keras')}, {versions('keras')}", highlight=False)
    for work in WORKS["keras"][preset.value]:
        times = interleave({way: step(work, way) for way in WAYS}, rounds or ROUNDS[preset.value])
        plain, _, plain_3, ours_3 = WAYS
        title = f"{work}: plain {min(times[plain]) * 1000:.0f} ms"
        console.print(ratio_table(title, ratios(times)))
        in_keras_3 = {each: times[each] for each in (plain_3, ours_3)}
        console.print(ratio_table("to plain in Keras 3", ratios(in_keras_3, to=plain_3)))


if __name__ == "__main__":
    typer.run(main)
