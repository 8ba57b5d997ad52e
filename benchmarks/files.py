"""Memory and time of the command on large checkpoints, each call in a process of its own.

python -m benchmarks.files --preset full

The record of docs/performance.md's table is results/files/full.json. Needs PyTorch, to write the
files, and Linux, to measure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.frame.program import RESULTS, Preset, machine

ROOT = Path(__file__).parents[1]
MIB = 2**20
COMMANDS = {"inspect": ("inspect",), "fold": ("fold",), "fold --verify": ("fold", "--verify")}
SUFFIXES = (".pt", ".safetensors")
PEAK = r"""
import pathlib, re, sys, time
from doconv_cli.main import app
try: app(sys.argv[1:])
except SystemExit as end: assert not end.code, end.code
# not getrusage, which counts whoever started the process too
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\s+(\d+)", status)[1], time.process_time(), file=sys.stderr)
"""


class Checkpoint(NamedTuple):
    """Equal layers, K = 9."""

    layers: int
    channels: int


CHECKPOINTS = {
    "tiny": {"small": Checkpoint(2, 16)},
    "short": {"many layers": Checkpoint(4, 512), "large arrays": Checkpoint(1, 1024)},
    "full": {"many layers": Checkpoint(26, 1024), "large arrays": Checkpoint(2, 2048)},
}


def measure(checkpoints: dict[str, Checkpoint], folder: Path) -> list[dict[str, Any]]:
    """A row for every checkpoint, format and command."""
    rows = []
    base, _ = _run("cost", "--size", "8", "--network", "resnet18")
    for name, checkpoint in checkpoints.items():
        for suffix in SUFFIXES:
            file, out = folder / f"file{suffix}", folder / f"out{suffix}"
            size = _write(checkpoint, file)
            row: dict[str, Any] = {
                "checkpoint": name, **checkpoint._asdict(), "format": suffix, "bytes": size,
                "largest_array": checkpoint.channels**2 * 9 * 4, "command_alone_bytes": base,
            }  # fmt: skip
            for command, (verb, *options) in COMMANDS.items():
                written = [out, "--transposed", "none"] if verb == "fold" else []
                peak, seconds = _run(verb, file, *written, *options)
                out.unlink(missing_ok=True)
                row[command] = {"peak_bytes": peak, "cpu_seconds": seconds}
            file.unlink()
            rows.append(row)
    return rows


def _write(checkpoint: Checkpoint, file: Path) -> int:
    rng = np.random.default_rng(0)
    state: dict[str, NDArray[np.float32]] = {}
    for i in range(checkpoint.layers):
        C = checkpoint.channels
        state[f"{i}.weight"] = rng.standard_normal((C, C, 3, 3), np.float32)
        state[f"{i}.D"] = rng.standard_normal((C, 9, 9), np.float32) / 10
    if file.suffix == ".pt":
        import torch

        torch.save({key: torch.from_numpy(array) for key, array in state.items()}, file)
    else:
        from safetensors.numpy import save_file

        save_file(state, file)
    return file.stat().st_size


def _run(*arguments: str | Path) -> tuple[int, float]:
    """Peak bytes and CPU seconds of one call of the command."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr}")
    peak, seconds = done.stderr.splitlines()[-1].split()
    return int(peak) << 10, float(seconds)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of docs/performance.md."""
    lines = ["| | " + " | ".join(f"`{command}`" for command in COMMANDS) + " |",
             "|---" * (1 + len(COMMANDS)) + "|"]  # fmt: skip
    for row in rows:
        cells = [
            f"{row[command]['peak_bytes'] / MIB:.0f} MiB, {row[command]['cpu_seconds']:.1f} s"
            for command in COMMANDS
        ]
        largest = row["largest_array"] / 1e6
        what = f"{row['bytes'] / 1e9:.2f} GB, largest array {largest:.0f} MB, `{row['format']}`"
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(
    preset: Annotated[Preset, typer.Option(help="How large the files are.")] = Preset.short,
    out: Annotated[Path, typer.Option(help="Folder for the record.")] = RESULTS / "files",
) -> None:
    """Measure the peak memory and the CPU seconds of inspect, fold and fold --verify."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(CHECKPOINTS[preset.value], Path(folder))
    out.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": "files", "machine": machine(), "preset": preset.value, "rows": rows}
    (out / f"{preset.value}.json").write_text(json.dumps(record, indent=1) + "\n")
    typer.echo(
        f"{record['machine']}; the command alone: {rows[0]['command_alone_bytes'] >> 20} MiB"
    )
    typer.echo(markdown(rows), nl=False)


if __name__ == "__main__":
    typer.run(main)
