"""The table of what the tests execute: sums, and a note for each room that is low."""

from __future__ import annotations

from typing import Any

import pytest

from tests import coverage_table


def file(lines: int, done: int, branches: int, taken: int) -> dict[str, Any]:
    figures = (lines, done, branches, taken)
    return {"summary": dict(zip(coverage_table.FIGURES, figures, strict=True))}


FILES = {
    "a/x.py": file(10, 10, 0, 0),
    "a/low/y.py": file(10, 5, 4, 3),
    "a/low/z.py": file(2, 1, 4, 4),
}


def test_rooms_and_packages_are_summed() -> None:
    assert coverage_table.table(coverage_table.sums_of(FILES)).splitlines()[2:] == [
        "| **a** | 22 | 72.7 | 8 | 87.5 |",
        "| a/low | 12 | 50.0 | 8 | 87.5 |",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a/low": "Why."}, None),
        ({}, "without a note: ['a/low']"),
        ({"a/low": "Why.", "a/high": "Why."}, "to remove: ['a/high']"),
    ],
    ids=["its note", "no note", "a note too many"],
)
def test_what_is_low_has_a_note_and_nothing_else(
    given: dict[str, str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage_table, "NOTES", given)
    sums = coverage_table.sums_of(FILES)
    if said is None:
        assert coverage_table.notes(sums) == "* `a/low`: Why."
    else:
        with pytest.raises(SystemExit) as caught:
            coverage_table.notes(sums)
        assert said in str(caught.value)
