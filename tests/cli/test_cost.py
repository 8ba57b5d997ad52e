"""`doconv cost`: its numbers are the core's, and a wrong size is one clear line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import doconv_core
from doconv_cli.main import app
from doconv_core import DOConvSpec, layer_cost


def run(*arguments: str) -> dict:
    result = CliRunner().invoke(app, ["cost", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_one_layer() -> None:
    (cost,) = run("--in", "8", "--out", "4", "--kernel", "3x2", "--size", "7").values()
    expected = layer_cost(DOConvSpec(8, 4, (3, 2)), (7, 7), batch_size=32)
    assert cost == {form: getattr(expected, form)._asdict() for form in expected._fields}


def test_a_network_is_the_sum_of_its_layers() -> None:
    rows = run("--network", "resnet18", "--size", "64", "--per-layer")
    total = rows.pop("resnet18")
    assert len(rows) == 20
    assert total["feature"]["macs"] == sum(row["feature"]["macs"] for row in rows.values())


def test_the_table_shows_each_form() -> None:
    result = CliRunner().invoke(app, ["cost", "--per-layer", "--network", "mobilenet_v2"])
    assert result.exit_code == 0
    for said in ("plain", "training (kernel)", "training (feature)", "folded", "2,189,760"):
        assert said in result.stdout


WRONG = {
    "groups": (["--groups", "3"], "`groups` must divide"),
    "D_mul": (["--d-mul", "3"], "`D_mul` must be at least"),
    "kernel": (["--kernel", "three"], "must look like 3x3"),
    "network": (["--network", "vgg"], "must be one of"),
    "size": (["--size", "0"], "must be positive"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_size_is_refused_with_the_core_s_words(arguments: list, said: str) -> None:
    result = CliRunner().invoke(app, ["cost", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"doconv {doconv_core.__version__}\n"
