"""The code on every page runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import BLOCK, program, run
from tests.star.backends import backend as backends

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]
    if "_build" not in path.parts
}
NEEDS = {
    "torch": re.compile(r"\b(doconv_torch|import torch)\b"),
    "keras": re.compile(r"\b(doconv_tf|import keras)\b"),
    "tf_keras": re.compile(r"\b(doconv_tf_keras|import tf_keras)\b"),
    "gluon": re.compile(r"\b(doconv_gluon|mxnet)\b"),
}


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if program(text)])
def test_the_code_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = program(PAGES[name])
    for framework, word in NEEDS.items():
        if word.search("".join(blocks)):
            if framework not in backends.names():
                pytest.skip(f"{framework} is not among DOCONV_BACKENDS")
            backends.load(framework)  # skips, or fails where it was asked for
    monkeypatch.chdir(tmp_path)
    run(blocks, name)


@pytest.mark.parametrize("name", PAGES)
def test_a_block_says_its_language(name: str) -> None:
    languages = {language for _, language, _ in BLOCK.findall(PAGES[name])}
    assert languages <= {"python", "sh", "text", "console"} | (
        {""} if "```{" in PAGES[name] else set()
    )


# --- the guards can fail -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "error"),
    {
        "an error": (["x = 1\n", "x = 1 / 0\n"], ZeroDivisionError),
        "another answer": ([">>> 1 + 1\n3\n"], AssertionError),
        "an answer that uses an earlier block": (["x = 1\n", ">>> x\n2\n"], AssertionError),
    }.values(),
)
def test_a_broken_page_is_found(blocks: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        run(blocks, "page")
