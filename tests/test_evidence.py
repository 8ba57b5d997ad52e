"""Every figure of docs/evidence.md and README's answer is the records'."""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("torch", reason="the costs on the page are counted on PyTorch's networks")

from benchmarks.accuracy import records
from benchmarks.accuracy.evidence import page
from benchmarks.accuracy.evidence.compare import as_the_authors, compare, counted
from benchmarks.accuracy.run import outcome_of, run_of
from benchmarks.accuracy.studies import STUDIES


@pytest.fixture(scope="module")
def evidence() -> page.Evidence:
    return page.made()


def test_the_page_is_what_the_records_make(evidence: page.Evidence) -> None:
    assert page.PAGE.read_text() == evidence.page, "run `make evidence`"


def test_readme_holds_the_records_lines(evidence: page.Evidence) -> None:
    readme = page.README.read_text()
    assert page.with_lines(readme, evidence.lines) == readme, "run `make evidence`"
    assert len(evidence.lines.splitlines()) == 5


def test_every_picture_was_drawn_from_these_records(evidence: page.Evidence) -> None:
    drawn = {name for name, section in evidence.sections.items() if section.draw}
    assert {path.stem for path in page.PICTURES.glob("*.png")} == drawn
    for name in drawn:
        assert description(page.PICTURES / f"{name}.png") == evidence.digests[name]
        assert f"(evidence/{name}.png)" in evidence.page


def description(png: Path) -> str:
    """The text that the picture carries."""
    content, place = png.read_bytes(), 8
    while place < len(content):
        (length,), kind = (
            struct.unpack(">I", content[place : place + 4]),
            content[place + 4 : place + 8],
        )
        chunk = content[place + 8 : place + 8 + length]
        if kind == b"tEXt" and chunk.startswith(b"Description\0"):
            return chunk.partition(b"\0")[2].decode()
        place += 12 + length
    return ""


def test_a_changed_record_changes_the_page(evidence: page.Evidence, tmp_path: Path) -> None:
    """So that the tests above can fail."""
    for path in records.COMMITTED.glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "authors.jsonl"
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    first["validation"][-1] += 1
    path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    changed = page.made(tmp_path)
    assert changed.page != evidence.page
    assert changed.lines != evidence.lines
    assert changed.digests["authors"] != evidence.digests["authors"]


def test_the_page_can_be_made_of_no_records(tmp_path: Path) -> None:
    empty = page.made(tmp_path)
    assert "not measured yet" in empty.lines
    assert not any(section.draw for section in empty.sections.values())


def test_gentler_forms_stand_beside_DO_Conv_and_lost_runs_are_counted(tmp_path: Path) -> None:
    committed = (records.COMMITTED / "authors.jsonl").read_text().splitlines()
    like = next(r for r in map(json.loads, committed) if r["framework"] == "torch")
    ends = {"plain": (90.0, 91.0), "DO-Conv": (9.9, 90.0), "norm-matched": (91.0, 92.0)}
    with (tmp_path / "authors.jsonl").open("w") as file:
        for arm, values in ends.items():
            for seed, value in enumerate(values):
                last = {"validation": [*like["validation"][:-1], value], "diverged": value < 20}
                file.write(json.dumps(like | last | {"arm": arm, "rate": 0.1, "seed": seed}) + "\n")
    rows = [line for line in page.made(tmp_path).page.splitlines() if line.startswith("| ")]
    assert (
        "| norm-matched |  |  | not run | 0 | 90.50 | 91.50 | +1.00 (+1.00 .. +1.00) | 2 |" in rows
    )
    assert (
        "| DO-Conv |  |  | not run | 0 | 90.50 | 90.00 | 0 and 1 of 2 did not train | 2 |" in rows
    )


@pytest.mark.parametrize("study", STUDIES)
def test_committed_records_are_whole_and_unique(study: str) -> None:
    path = records.COMMITTED / f"{study}.jsonl"
    if not path.exists():
        pytest.skip("none yet")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records.read(path)) == len(lines)
    for line in lines:
        run, outcome = run_of(line), outcome_of(line)
        assert run.study == study
        assert run.data != "digits", "quick runs are not evidence"
        assert 0 <= outcome.test <= 100
        assert outcome.diverged or len(outcome.loss) == run.epochs
        assert outcome.validation == [] or len(outcome.validation) == len(outcome.loss)
        assert line["seconds"] > 0
        assert line["machine"]
        assert line["versions"]


def runs(*figures: float | None, first: int = 0) -> list[dict[str, Any]]:
    """Test accuracies by seed; None did not train."""
    return [
        {"seed": seed, "test": figure or 10.0, "validation": [], "diverged": figure is None}
        for seed, figure in enumerate(figures, first)
    ]


@pytest.mark.parametrize(
    ("plain", "ours", "text", "verdict"),
    [
        (runs(), runs(), "not run", "not measured"),
        (runs(50.0), runs(), "not run", "not measured"),
        (runs(50.0), runs(51.0), "+1.00", "no difference seen"),
        (runs(50, 60, 70), runs(51, 61.1, 70.9), "+1.00 (+0.75 .. +1.25)", "higher"),
        (runs(51, 61.1, 70.9), runs(50, 60, 70), "-1.00 (-1.25 .. -0.75)", "lower"),
        (runs(50, 60), runs(51, 60), "+0.50 (-5.85 .. +6.85)", "no difference seen"),
        (runs(0.5, 50, 60), runs(51, 60, first=1), "+0.50 (-5.85 .. +6.85)", "no difference seen"),
        (runs(50, 60, 70), runs(51, None, 70), "0 and 1 of 3 did not train", "not comparable"),
        (runs(None, None), runs(51, None), "2 and 1 of 2 did not train", "not comparable"),
    ],
    ids=["none", "one arm", "one seed", "higher", "lower", "two seeds", "common seeds", "lost",
         "all lost"],
)  # fmt: skip
def test_a_comparison_claims_what_it_can(
    plain: list[dict[str, Any]], ours: list[dict[str, Any]], text: str, verdict: str
) -> None:
    found = compare(plain, ours)
    assert str(found) == text
    assert found.verdict == verdict
    told = f"{text}, 3 seeds: {verdict}" if found.seeds == 3 else "not measured with 3 seeds yet"
    assert found.told == told


def test_a_sentence_begins_with_how_many_came_out_how() -> None:
    gain, none, lost = runs(51, 61.1, 70.9), runs(50, 60, 71), runs(51, None, 70)
    found = [compare(runs(50, 60, 70), ours) for ours in (none, gain, none, lost, gain[:2])]
    assert counted(found) == "no difference seen in 2, higher in 1, not comparable in 1"
    assert counted(found[-1:]) == ""  # two seeds are not told


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    plain, ours = np.random.default_rng(0).normal(size=(2, 7))
    expected = stats.ttest_rel(ours, plain).confidence_interval(0.95)
    found = compare(runs(*plain), runs(*ours)).difference
    assert found is not None
    np.testing.assert_allclose(found[1:], [expected.low, expected.high])


def test_the_authors_measure_on_what_they_held_out() -> None:
    (record,) = runs(50.0)
    assert as_the_authors(record) == 50
    assert as_the_authors(record | {"validation": [1.0, 2.0]}) == 2


@pytest.mark.parametrize("readme", ["", page.BEGIN, f"{page.BEGIN}{page.END}" * 2])
def test_a_readme_without_its_markers_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        page.with_lines(readme, "x")


def test_readme_states_no_accuracy_of_its_own() -> None:
    """Only what the markers hold, and the authors' figures."""
    answer = re.search(r"## Does it help\?\n(.*?)\n## ", page.README.read_text(), re.S).group(1)
    own = answer.replace(answer[answer.index(page.BEGIN) : answer.index(page.END)], "")
    assert re.findall(r"[+-]\d+\.\d+", own) == ["+0.03", "+1.01"]
