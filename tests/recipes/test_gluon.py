"""Each Gluon recipe: trained, interrupted, resumed, folded, loaded by GluonCV, as its user would.

The other data sets, and every network: ``make test-recipes``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.star.backends import backend as backends

if "gluon" not in backends.names():
    pytest.skip("gluon is not among DOCONV_BACKENDS", allow_module_level=True)
try:
    from tests.recipes import gluon
except ImportError as error:
    backends.load("gluon")
    raise AssertionError("MXNet can be imported, and the recipes cannot") from error

pytestmark = [
    # GluonCV's and MXNet's own: of constants, records, target encoders, graphs, a recent SciPy.
    pytest.mark.filterwarnings("ignore:Constant parameter"),
    pytest.mark.filterwarnings("ignore:tostring:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Parameter normalizedperclassboxcenterencoder"),
    pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments"),
    pytest.mark.filterwarnings("ignore:Please import `csr_matrix` from:DeprecationWarning"),
    # COCO's metric, of classes that no image has.
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in scalar divide:RuntimeWarning"),
]


class Runs(NamedTuple):
    """One that was left alone, and one that was interrupted and went on."""

    case: gluon.Case
    data: Path
    whole: dict[str, Any]
    resumed: dict[str, Any]


@pytest.fixture(params=gluon.CASES.values(), ids=gluon.CASES, scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    with pytest.MonkeyPatch.context() as patch:
        yield made(request.param, tmp_path_factory.mktemp("recipe"), patch)


def made(case: gluon.Case, folder: Path, patch: pytest.MonkeyPatch) -> Runs:
    """Both runs of a case."""
    gluon.tiny(patch)
    data = folder / "data"
    case.write(data)
    whole = case.run(data, folder / "whole")
    gluon.interrupt(case, data, folder / "resumed", patch)
    return Runs(case, data, whole, case.run(data, folder / "resumed"))


def test_a_recipe_trains_what_it_converts(runs: Runs) -> None:
    assert runs.whole["steps"] == gluon.STEPS
    assert math.isfinite(runs.whole["loss"])
    saved = gluon.arrays(Path(runs.whole["parameters"]).parent / f"step-{gluon.STEPS}.params")
    moved = [name for name, array in saved.items() if name.endswith(".D") and array.any()]
    assert runs.whole["layers"] > 0
    assert moved


def test_an_interrupted_run_ends_as_one_that_was_not(runs: Runs) -> None:
    whole, resumed = ({**each, "parameters": ""} for each in (runs.whole, runs.resumed))
    assert whole == resumed
    expected, found = (gluon.arrays(each["parameters"]) for each in (runs.whole, runs.resumed))
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_gluoncv_loads_what_was_folded_and_measures_the_same(runs: Runs, tmp_path: Path) -> None:
    path = runs.whole["parameters"]
    assert not any(name.endswith((".D", ".W_extra")) for name in gluon.arrays(path))
    figures = gluon.evaluated(runs.case, runs.data, tmp_path, path)
    assert figures == {name: runs.whole[name] for name in figures}


def test_other_options_are_another_run(runs: Runs) -> None:
    output = Path(runs.whole["parameters"]).parent
    with pytest.raises(SystemExit, match="holds a run with other options"):
        runs.case.run(runs.data, output, "--seed 1")


# --- what is said ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", gluon.ALL.values(), ids=gluon.ALL)
def test_absent_data_are_a_sentence_with_their_layout(case: gluon.Case, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)The data are not there: .*Expected:.*DATA/"):
        case.run(tmp_path / "nothing", tmp_path / "output")


@pytest.mark.parametrize("recipe", gluon.LOADED, ids=lambda recipe: recipe.__name__)
def test_an_unknown_network_is_a_sentence(recipe: Any) -> None:
    with pytest.raises(SystemExit, match=r"No network unknown. --help lists those"):
        recipe.main(["--network", "unknown", "--data", ".", "--output", "."])


def test_GPUs_that_are_not_there_are_a_sentence(tmp_path: Path) -> None:
    case = gluon.CASES["classification, RecordIO"]
    with pytest.raises(SystemExit, match=r"No GPUs 0,99: this MXNet sees \d+"):
        case.run(tmp_path, tmp_path / "output", "--gpus 0,99")


def test_COCO_without_pycocotools_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GluonCV would run pip."""
    case = gluon.MORE["detection, COCO"]
    case.write(tmp_path / "data")
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(SystemExit, match="pip install pycocotools"):
        case.run(tmp_path / "data", tmp_path / "output")
