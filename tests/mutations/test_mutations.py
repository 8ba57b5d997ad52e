"""The mutation run can be trusted: its edits apply, and it knows a survivor. The run itself is
`python -m tests.mutations.run`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.mutations.edits import CORE, MUTANTS, Mutant
from tests.mutations.run import StaleMutantError, mutated, verdict

FIRST = CORE[0]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_an_edit_applies_to_the_source_as_it_is(mutant: Mutant) -> None:
    assert all(new in mutated(mutant) for new in mutant.edits.values())


@pytest.mark.parametrize("old", ["no such text", "spec"], ids=["gone", "more than once"])
def test_an_edit_that_does_not_apply_is_an_error(old: str) -> None:
    with pytest.raises(StaleMutantError, match=r"core: .* tests/mutations/edits.py up to date"):
        mutated(replace(FIRST, edits={old: ""}))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [("np.asarray(_identity", "survived"), ("np.wrong(_identity", "crashed: failure: Attribute")],
    ids=["no mistake", "an error"],
)
def test_a_mutant_that_no_assertion_catches_is_told(edit: str, expected: str) -> None:
    mutant = replace(FIRST, edits={"np.array(_identity": edit})
    assert verdict(mutant).startswith(expected)
