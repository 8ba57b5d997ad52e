"""`doconv demo`: one short run per framework, its files, and what a missing framework says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from doconv_cli.demo.statistics import Difference, mean, paired_difference
from doconv_cli.main import app
from tests.star.backends import backend as backends

# MXNet 1.9.1 names scipy's matrices by a path that scipy 1.8 deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

RUN = ["demo", "--seeds", "2", "--epochs", "1"]


@pytest.fixture(params=backends.names())
def framework(request: pytest.FixtureRequest) -> str:
    backends.load(request.param)
    return request.param


def test_it_trains_compares_and_writes_its_files(framework: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    result = CliRunner().invoke(app, [*RUN, "--framework", framework, "--out", str(out)])
    assert result.exit_code == 0, result.output
    figures = json.loads((out / "results.json").read_text())
    plain, trained, folded = figures["parameters"]
    assert plain == folded
    # D of the three 3x3 convolutions: 81 numbers an input channel
    assert trained - plain == (1 + 16 + 32) * 81
    story = figures["story"]
    assert story["converted"] == 0
    assert story["reloaded"] == 0
    assert 0 < story["folded"] < 1e-5 * max(1, story["largest"])
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert Path(story["path"]).stat().st_size > plain * 4
    for said in (
        "95 % interval",
        "small illustration",
        "bitwise the same",
        "curves.png",
        "results.json",
    ):
        assert said in result.output.replace("\n", "")


@pytest.mark.parametrize(
    ("plain", "ours", "said"),
    [
        ((50, 60, 70), (51, 61.1, 70.9), "ends higher"),
        ((51, 61.1, 70.9), (50, 60, 70), "ends lower"),
        ((50, 60), (51, 60), "No difference"),
        ((50,), (60,), "No difference"),
    ],
    ids=["higher", "lower", "contains 0", "one seed"],
)
def test_it_claims_no_more_than_its_interval_carries(
    plain: tuple[float, ...], ours: tuple[float, ...], said: str
) -> None:
    from doconv_cli.demo import report
    from doconv_cli.demo.experiment import Pairs

    accuracy = np.array([plain, ours], float)[:, :, None]
    assert said in report.caveat(Pairs(accuracy, np.ones_like(accuracy), (1, 2, 1)))


def test_both_ways_start_from_the_same_function(framework: str) -> None:
    from doconv_cli.demo import experiment
    from doconv_cli.demo.trainers import trainer

    images = experiment.digits().test_images[:16]
    kind = trainer.load(framework)
    plain, ours = (kind(3, over_parameterized=o).logits(images) for o in (False, True))
    np.testing.assert_array_equal(plain, ours)


def test_a_missing_framework_gives_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "doconv_cli.demo.trainers.with_torch", raising=False)
    result = CliRunner().invoke(app, [*RUN, "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "pip install 'doconv-layers[torch,demo]'" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    backends.load("torch")
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, [*RUN, "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr.replace("\n", "")


def test_the_paired_interval_is_student_s() -> None:
    # differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.302653
    difference = paired_difference([0, 0, 0], [1, 2, 3])
    np.testing.assert_allclose(
        difference, Difference(2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rtol=1e-6
    )
    assert mean([1, 2, 3]).error == pytest.approx(1 / 3**0.5)


def test_one_seed_has_no_interval() -> None:
    assert np.isnan(paired_difference([1], [3]).low)
    assert np.isnan(mean([1]).error)


@pytest.mark.parametrize(("seeds", "rows"), [(1, 3), (2, 4)])
def test_a_table_and_curves_of_any_number_of_seeds(seeds: int, rows: int, tmp_path: Path) -> None:
    from doconv_cli.demo import plot, report
    from doconv_cli.demo.experiment import Pairs

    accuracy = np.arange(4 * seeds, dtype=float).reshape(2, seeds, 2)
    pairs = Pairs(accuracy, np.ones_like(accuracy), (1, 2, 1))
    assert report.comparison(pairs, "torch").row_count == rows  # the last: the interval
    plot.learning_curves(pairs, tmp_path / "curves.png", "digits")
    assert (tmp_path / "curves.png").exists()
