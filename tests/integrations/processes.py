"""Scripts in several processes of this machine: on loopback, bounded in time, and cleaned up."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import distributed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "torch"


def torchrun(processes: int, script: str, *arguments: object, limit: float = 240) -> str:
    """Run an example as a user would; what it prints.

    Raises:
        AssertionError: it failed, or took longer than ``limit`` seconds.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", processes, EXAMPLES / script, *arguments]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    # A terminated torchrun ends its processes; a killed one would leave them.
    child = subprocess.Popen(
        list(map(str, command)), env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = child.communicate(timeout=limit)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    assert child.returncode == 0, said
    return said


@contextmanager
def alone(script: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """An example's ``main``, here, as the only one of its processes."""
    variables = {
        "RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0, "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    try:
        yield runpy.run_path(str(EXAMPLES / script))["main"]
    finally:
        if distributed.is_initialized():  # it failed
            distributed.destroy_process_group()
