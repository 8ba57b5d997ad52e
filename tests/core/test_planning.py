"""What convert takes and leaves, what it says of it, and that fold does all or nothing."""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from typing import Any

import pytest

from doconv_core import messages
from doconv_core.model.folding import fold_layers, warn_if_D_is_left
from doconv_core.model.planning import LARGE, MUCH, Candidate, Plan, plan, warn_if_large

FOUND = [
    Candidate(["stem"], "a", "", K=49),
    Candidate(["layer1.0", "again.0"], "b", "", K=9),
    Candidate(["layer1.1"], "c", messages.model.POINTWISE, K=1),
    Candidate(["layer10.0"], "d", "", K=9),
    Candidate(["head/conv"], "e", "", K=9),
    Candidate(["done"], "f", "", done=True, K=9),
]

PICKED: dict[str, tuple[Any, str]] = {
    "all": (None, "abde"),
    "function": (lambda name, layer: layer in "ad", "ad"),
    "function of a second name": (lambda name, _: name == "again.0", "b"),
    "name": ("stem", "a"),
    "holder": ("layer1", "b"),
    "holder, slashes": (["head"], "e"),
    "names": (("again", "layer10.0"), "bd"),
    "none": ([], ""),
}


@pytest.mark.parametrize(("where", "chosen"), PICKED.values(), ids=PICKED)
def test_where_picks_layers_by_any_of_their_names(where: Any, chosen: str) -> None:
    decided = plan(FOUND, where)
    assert "".join(each.layer for each in decided.chosen) == chosen
    assert decided.reasons[messages.model.NOT_SELECTED] == 4 - len(chosen)
    assert decided.reasons[messages.model.POINTWISE] == decided.already == 1


NOT_WHERE: dict[str, tuple[Any, type[Exception], str]] = {
    "no such name": ("layer2", ValueError, messages.model.unknown_where(
        "layer2", ["stem", "layer1.0", "again.0", "layer1.1", "layer10.0", "head/conv", "done"])),
    "a part of a name": (["stem", "layer"], ValueError, "name='layer'"),
    "number": (3, TypeError, messages.model.bad_where(3)),
    "numbers": ([3], TypeError, messages.model.bad_where([3])),
}  # fmt: skip


@pytest.mark.parametrize(("where", "kind", "said"), NOT_WHERE.values(), ids=NOT_WHERE)
def test_a_where_that_picks_nothing_by_mistake_is_an_error(
    where: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        plan(FOUND, where)


def test_kernels_beyond_a_size_are_left() -> None:
    decided = plan(FOUND, max_kernel_elements=9)
    assert [each.layer for each in decided.chosen] == ["b", "d", "e"]
    assert decided.reasons[messages.model.TOO_LARGE] == 1
    with pytest.raises(ValueError, match="`max_kernel_elements` must be a positive integer"):
        plan(FOUND, max_kernel_elements=0)


def test_a_root_that_cannot_be_changed_is_an_error_unless_it_has_one_element() -> None:
    lone = Candidate([""], "root", messages.model.OWN_FORWARD)
    with pytest.raises(ValueError, match=f"Reason: {messages.model.OWN_FORWARD}"):
        plan([lone], root="root")
    pointwise = plan([lone._replace(reason=messages.model.POINTWISE)], root="root")
    assert pointwise.reasons == {messages.model.POINTWISE: 1}


def test_layers_that_would_be_torn_apart_are_left_together() -> None:
    decided = plan(FOUND).leave(lambda layer: layer in "bd", "shared")
    assert [each.layer for each in decided.chosen] == ["a", "e"]
    assert decided.reasons["shared"] == 2


def test_the_log_line_counts_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        plan(FOUND, "stem").report("convert", "over-parameterized", "nothing")
    line = (
        "convert: 1 of 6 convolutions over-parameterized; "
        f"3 left: {messages.model.NOT_SELECTED}; 1 left: {messages.model.POINTWISE}"
    )
    (record,) = caplog.records
    counted = re.split("; ", record.message)
    assert sorted(counted) == sorted(line.split("; "))


def test_nothing_to_do_is_a_warning_and_nothing_left_to_do_is_none() -> None:
    with pytest.warns(UserWarning, match="nothing here"):
        plan(FOUND[2:3]).report("convert", "over-parameterized", "nothing here")
    plan(FOUND[5:]).report("convert", "over-parameterized", "nothing here")


OWN, WAITS = messages.model.OWN_FORWARD, messages.model.NEVER_CALLED
LEFT = {
    "most, for one reason": ({OWN: 3}, [(3, OWN)]),
    "as many": ({OWN: 2}, []),
    "for several reasons": ({OWN: 2, messages.model.QUANTIZED: 2}, []),
    "expected": ({messages.model.POINTWISE: 9, messages.model.NOT_SELECTED: 9}, []),
    "one that waits for its shape": ({OWN: 1, WAITS: 1}, [(1, WAITS)]),
}


@pytest.mark.parametrize(("reasons", "warned"), LEFT.values(), ids=LEFT)
def test_convert_warns_where_it_could_do_little(
    reasons: dict[str, int], warned: list[tuple[int, str]]
) -> None:
    decided = Plan(FOUND[:1], Counter(reasons), 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decided.warn_if_mostly_left()
    said = [messages.model.mostly_left(count, 2, reason) for count, reason in warned]
    assert [str(each.message) for each in caught] == said


def test_what_where_leaves_out_counts_for_nothing_else() -> None:
    own, left = messages.model.OWN_FORWARD, messages.model.NOT_SELECTED
    mine = Candidate(["head.a"], "a", "")
    found = [mine, *(Candidate([f"body.{i}"], f"{i}", own) for i in range(3))]
    assert plan(found, "head").reasons == {left: 3}
    assert plan(found, lambda name, _: name != "head.a").reasons == {own: 3, left: 1}
    plan(found, "head").warn_if_mostly_left()
    with pytest.warns(UserWarning, match=own):
        plan(found, ["head", "body"]).warn_if_mostly_left()

    def of_hosts_only(name: str, layer: str) -> bool:
        return {"a": True}[layer]

    assert plan(found, of_hosts_only).reasons == {own: 3}


SIZES = {
    "MnasNet 0.5": (4_400_000, 2_200_000, False),
    "RepLKNet-31B": (5_555_000_000, 7_800_000, True),
    "twice": (LARGE * MUCH, MUCH, False),
    "more": (LARGE * MUCH + 1, MUCH, True),
    "more, of little": (MUCH, 100, False),
}


@pytest.mark.parametrize(("added", "rest", "warned"), SIZES.values(), ids=SIZES)
def test_a_D_that_outweighs_the_model_is_told(added: int, rest: int, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_large(added, rest, "stem")
    said = [messages.model.large_D(added, rest, LARGE, "stem")] if warned else []
    assert [str(each.message) for each in caught] == said
    assert not warned or "max_kernel_elements" in said[0]


def test_fold_computes_everything_before_it_changes_anything() -> None:
    done: list[str] = []
    kernels = {"a": 1, "b": 2}
    assert fold_layers(kernels, kernels.__getitem__, lambda a, k: done.append(f"{a}{k}")) == 2
    assert done == ["a1", "b2"]
    with pytest.raises(KeyError):
        fold_layers(["a", "c"], kernels.__getitem__, lambda a, k: done.append(f"{a}{k}"))
    assert done == ["a1", "b2"]


def test_fold_that_finds_no_layer_tells_of_a_D_that_it_cannot_fold() -> None:
    with pytest.warns(UserWarning, match="the graph holds 2 D's, the first of them 'conv.D'"):
        warn_if_D_is_left(0, ["conv.D", "head.D"], "the graph")
    warn_if_D_is_left(1, ["conv.D"], "the graph")
    warn_if_D_is_left(0, [], "the graph")
