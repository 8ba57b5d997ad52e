"""`doconv cost`: its numbers are the core's, and a wrong size is one clear line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import doconv_core
from doconv_cli.main import app
from doconv_core import CondConvSpec, DOConvSpec, condconv_cost, layer_cost
from doconv_core.native import library


def run(*arguments: str) -> dict:
    result = CliRunner().invoke(app, ["cost", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_one_layer() -> None:
    (cost,) = run("--in", "8", "--out", "4", "--kernel-size", "3x2", "--size", "7").values()
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
    "kernel": (["--kernel-size", "three"], "must look like 3x3"),
    "network": (["--network", "vgg"], "must be one of"),
    "size": (["--size", "0"], "must be positive"),
    "experts": (["--experts", "0"], "'--experts'"),
    "experts of no CondConv": (
        ["--experts", "4", "--network", "resnet18"],
        "not one of CondConv's",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_size_is_refused_with_the_core_s_words(arguments: list, said: str) -> None:
    result = CliRunner().invoke(app, ["cost", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--network", "resnet18"], "one forward pass of 32 images, 224x224 pixels"),
        (["--network", "resnet18", "--size", "64"], "of 32 images, 64x64 pixels"),
        (["--batch", "1"], "one forward pass of 1 image, an output of 56x56"),
        (["--kernel-size", "3"], "of 32 images, an output of 56"),
        (["--network", "condconv_efficientnet_b0"], "condconv_efficientnet_b0, 8 experts: one"),
        (["--experts", "1"], "D_mul=9, 1 expert: one"),
    ],
)
def test_the_title_says_what_was_counted(arguments: list, said: str) -> None:
    result = CliRunner().invoke(app, ["cost", *arguments], env={"COLUMNS": "200"})
    assert said in " ".join(result.stdout.split())


def test_experts_are_counted_as_the_core_does() -> None:
    (cost,) = run(
        "--in", "8", "--out", "4", "--experts", "3", "--size", "7", "--batch", "2"
    ).values()
    spec = CondConvSpec(8, 4, (3, 3), num_experts=3, D_mul="K")
    expected = condconv_cost(spec, (7, 7), batch_size=2).layer
    assert cost == {form: getattr(expected, form)._asdict() for form in expected._fields}


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"doconv {doconv_core.__version__}, {library.status()}\n"
