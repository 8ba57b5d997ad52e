"""examples/gluon/kvstore.py, as users start it: a scheduler, a server and two workers."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from doconv_core import fold_kernel
from doconv_gluon import fold, get_state
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import ROOT

# MXNet 1.9.1's, of nd.array: it looks whether the array is one of SciPy's sparse ones.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

SCRIPT = ROOT / "examples" / "gluon" / "kvstore.py"


class Job(NamedTuple):
    """What the workers have saved and said."""

    trained: list[dict[str, np.ndarray]]
    folded: list[dict[str, np.ndarray]]
    said: str


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("kvstore")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--save", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    saved = [
        [arrays(folder / rank / f"{n}.params") for rank in "01"] for n in ("trained", "folded")
    ]
    return Job(*saved, done.stdout)


def arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


@pytest.mark.integration("kvstore dist_sync", "convert", "train")
def test_two_workers_have_what_one_process_learns(job: Job, example: dict[str, Any]) -> None:
    alone, _ = example["trained"]()
    first, second = job.trained
    for name, parameter in alone._collect_params_with_prefix().items():
        np.testing.assert_array_equal(first[name], second[name])
        expected = parameter.data().asnumpy()
        np.testing.assert_allclose(first[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert first["0.D"].any()


@pytest.mark.integration("kvstore dist_sync", "save", fold="as a copy")
def test_a_worker_folds_a_copy_exactly(job: Job, example: dict[str, Any], tmp_path: Path) -> None:
    """Each kernel is that of the core, to the bit."""
    net, path = example["built"](), str(tmp_path / "net.params")
    mx.nd.save(path, {name: mx.nd.array(array) for name, array in job.trained[0].items()})
    net.load_parameters(path)
    for name, state in get_state(net).items():
        kernel = fold_kernel(state.spec, state.W, state.D)
        kernel = kernel.reshape(job.folded[0][f"{name}.weight"].shape)
        for folded in job.folded:
            np.testing.assert_array_equal(folded[f"{name}.weight"], kernel)
    assert set(job.folded[0]) == set(fold(net)._collect_params_with_prefix())


@pytest.mark.integration("kvstore dist_sync", fold="refused in place: the servers have the arrays")
def test_in_place_is_refused_and_nothing_was_written(job: Job) -> None:
    """The example asks for it before it saves: what it has saved is what was trained."""
    assert job.said.count("cannot be set; fold a copy: fold(net)") == 2
    assert job.trained[0]["0.D"].any()
