"""The studies of accuracy: data, records and arms; they resume, and repeat to the last digit."""

from __future__ import annotations

import copy
import gzip
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.accuracy import order, records
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.data import cifar, idx, images
from benchmarks.accuracy.run import Outcome, Recipe, Run, outcome, outcome_of, record_of, run_of
from benchmarks.accuracy.studies import STUDIES
from benchmarks.accuracy.studies.study import best_rate
from tests.star.backends import backend as backends

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorFlow reads some

RUN = Run("rates", "torch", "digits", "plain", "DO-Conv", 0.1, 0, 2, 100)


def command(*arguments: str, code: int = 0) -> str:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def program(*arguments: str) -> str:
    """The same in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy", *arguments],
        check=True, cwd=Path(__file__).parents[1], timeout=250, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


def record(run: Run = RUN, **changes: Any) -> dict[str, Any]:
    return record_of(run, Outcome([1.0, 0.5], [50.0, 60.0], 70.0, False), seconds=1.0) | changes


# Data


IDX = b"\0\0\x08\x02" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(range(6))


@pytest.mark.parametrize("content", [IDX, gzip.compress(IDX)], ids=["as it is", "gzipped"])
def test_idx(content: bytes, tmp_path: Path) -> None:
    name = "x-ubyte.gz" if content[:1] == b"\x1f" else "x-ubyte"
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(idx.find(tmp_path, "x-ubyte"), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file"),
        (b"PK\3\4" + IDX, "no IDX file"),
        (b"\0\0\x0d\x02" + IDX[4:], "no IDX file"),  # floats
        (IDX[:-1], "should hold 2 x 3 values. Received: 5"),
        (IDX + b"\0", "should hold 2 x 3 values. Received: 7"),
    ],
    ids=["empty", "another format", "another type", "cut off", "too long"],
)
def test_what_is_no_idx_file_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        idx.read(tmp_path / "x")


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make data"):
        images.load("mnist", 10, tmp_path)


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_cifar(name: str, tmp_path: Path) -> None:
    training, test, labels = cifar.FILES[name]
    (tmp_path / name).mkdir()
    for index, batch in enumerate([*training, *test]):
        data = np.full((2, 3072), index, np.uint8)
        content = {b"data": data, labels: [0, 9], b"batch_label": b"x"}
        (tmp_path / name / batch).write_bytes(pickle.dumps(content, protocol=3))
    (first, classes), (last, _) = cifar.read(tmp_path / name, name)
    assert first.shape == (2 * len(training), 3, 32, 32)
    assert last[0, 0, 0, 0] == len(training)
    assert list(classes[:2]) == [0, 9]


def test_a_cifar_file_that_names_another_function_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes(pickle.dumps({b"data": Path("x")}))
    with pytest.raises(pickle.UnpicklingError, match="no need of pathlib"):
        cifar.read(tmp_path, "cifar-100")


@pytest.mark.parametrize(("asked", "validated"), [(100, 400), (900, 400), (1000, 0)])
def test_training_validation_and_test_share_no_image(asked: int, validated: int) -> None:
    parts = images.load("digits", asked)
    assert [len(part.labels) for part in parts] == [asked, validated, 497]
    seen = [image.tobytes() for part in parts for image in part.images]
    everything = images.load("digits", 900)
    distinct = {image.tobytes() for part in everything for image in part.images}
    assert len(distinct) == 1797  # so that equal images are one image
    assert len(set(seen)) == len(seen)
    assert parts.classes == 10


def test_more_images_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="has 1300 training images"):
        images.load("digits", 1301)


@pytest.mark.parametrize("size", [None, 1, 10, 1000], ids=str)
def test_every_epoch_sees_every_image_once_in_an_order_of_the_seed(size: int | None) -> None:
    first, second = order.epochs(RUN, Recipe(shuffle=size))
    assert sorted(first) == sorted(second) == list(range(100))
    again = next(order.epochs(RUN, Recipe(shuffle=size)))
    np.testing.assert_array_equal(first, again)
    if size == 1:
        np.testing.assert_array_equal(first, range(100))
        return
    assert list(first) != list(second)
    if size == 10:  # an image cannot come before it entered the buffer
        assert all(image < place + 10 for place, image in enumerate(first))
        assert max(abs(image - place) for place, image in enumerate(first)) > 10


# Records


def test_a_line_torn_by_a_crash_is_not_read_and_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    records.append(path, record())
    with path.open("a") as file:
        file.write('{"study": "ra')
    assert list(records.read(path)) == [RUN]
    other = Run(*[*RUN.__dict__.values()][:-1], images=99)
    records.append(path, record(other))
    assert list(records.read(path)) == [RUN, other]
    assert [run_of(json.loads(line)) for line in path.read_text().splitlines()] == [RUN, other]


def test_of_two_records_of_a_run_the_first_counts(tmp_path: Path) -> None:
    for test in (70.0, 80.0):
        records.append(tmp_path / "x", record(test=test))
    assert records.read(tmp_path / "x")[RUN]["test"] == 70


@pytest.mark.parametrize(
    ("losses", "validation", "test", "diverged"),
    [
        ([1.0, 0.9], [30.0, 20.0], 5.0, False),
        ([1.0, 0.9], [90.0, 19.9], 95.0, True),
        ([1.0, 0.9], [], 20.0, False),
        ([1.0, 0.9], [], 19.9, True),
        ([1.0], [90.0], 90.0, True),
    ],
    ids=["twice chance", "below", "twice chance in test", "below in test", "not finite"],
)
def test_what_counts_as_not_trained(
    losses: list[float], validation: list[float], test: float, diverged: bool
) -> None:
    assert outcome(RUN, losses, validation, test, classes=10).diverged is diverged


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(0.1, 50.0, False), (0.2, 60.0, False)], 0.2),
        ([(0.1, 50.0, False), (0.2, 60.0, True)], 0.1),
        ([(0.1, 50.0, False), (0.2, 90.0, False), (0.2, 0.0, False)], 0.1),
        ([(0.2, 50.0, False), (0.1, 50.0, False)], 0.1),
        ([], None),
    ],
    ids=["better", "did not train", "mean over seeds", "equal: the lower", "none"],
)
def test_the_rate_is_chosen_by_validation(
    found: list[tuple[float, float, bool]], chosen: float | None
) -> None:
    made = [record(rate=r, validation=[v], diverged=lost, test=100 - v) for r, v, lost in found]
    assert best_rate(made) == chosen


# Studies


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_searches_before_it_chooses(study: str) -> None:
    for size, budget in STUDIES[study].budgets.items():
        first = set(STUDIES[study].runs(budget, {}))
        assert first
        assert {run.data for run in first} <= {"digits"} or size != "quick"
        searched = {run: record(run) for run in first}
        more = set(STUDIES[study].runs(budget, searched))
        assert first <= more
        chosen = {(run.framework, run.network, run.arm, run.seed) for run in more - first}
        assert {seed for *_, seed in chosen} <= set(range(budget.seeds))
        assert study == "ablation" or chosen  # it compares at given rates


QUICK = [
    ("authors", "torch", "rate=0.01", 4),
    ("authors", "keras", "rate=0.003", 2),
    ("authors", "gluon", "rate=0.1", 2),
    ("rates", "torch", "network=unnormalized", 6),
    ("ablation", "torch", "network=sample", 45),
    ("family", "torch", "network=XSepConv", 6),
]


@pytest.mark.parametrize(
    ("study", "framework", "only", "count"), QUICK, ids=[" ".join(each[:2]) for each in QUICK]
)
def test_a_study_resumes_and_the_same_command_gives_the_same_figures(
    study: str, framework: str, only: str, count: int, tmp_path: Path
) -> None:
    backends_or_skip(framework)
    arguments = [
        "--study",
        study,
        "--size",
        "quick",
        "--only",
        only,
        "--only",
        f"framework={framework}",
    ]
    arguments += ["--out", str(tmp_path)]
    # TensorFlow takes its threads and its determinism for a whole process, so it gets one.
    run = program if framework == "keras" else command
    assert len(command(*arguments, "--list").splitlines()) > 0
    assert "complete" in run(*arguments)
    path = tmp_path / f"{study}.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == count
    path.write_text("".join(lines[:-1]) + lines[-1][:20])  # stopped while it wrote
    assert "complete" in run(*arguments)
    again = path.read_text().splitlines()
    assert len(again) == count
    assert outcome_of(json.loads(again[-1])) == outcome_of(json.loads(lines[-1]))
    assert path.read_text().startswith("".join(lines[:-1]))


def test_repeat_tells_whether_a_digit_differs(tmp_path: Path) -> None:
    backends_or_skip("torch")
    arguments = ["--study", "authors", "--size", "quick", "--out", str(tmp_path)]
    arguments += ["--only", "framework=torch", "--only", "seed=1", "--only", "rate=0.01"]
    command(*arguments, "--repeat", code=1)  # nothing is recorded yet
    command(*arguments)
    assert "2 repeated, the same to the last digit" in command(*arguments, "--repeat")
    path = tmp_path / "authors.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    found[0]["loss"][0] = float(np.nextafter(found[0]["loss"][0], 9))
    path.write_text("".join(json.dumps(each) + "\n" for each in found))
    assert "is now" in command(*arguments, "--repeat", code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "huge"), "comes as quick, small, full"),
        (("--only", "colour=red"), "a run has no colour"),
        (("--only", "network=none"), "has no run of network=none"),
    ],
    ids=["size", "field", "value"],
)
def test_a_mistyped_option_is_refused(
    arguments: tuple[str, str], words: str, tmp_path: Path
) -> None:
    output = command("--study", "rates", "--out", str(tmp_path), *arguments, code=2)
    assert words in " ".join(output.replace("│", " ").split())


def test_only_takes_several_values_of_a_field(tmp_path: Path) -> None:
    arguments = ["--study", "rates", "--out", str(tmp_path), "--list", "--only", "network=plain"]
    listed = command(*arguments, "--only", "seed=1", "--only", "seed=2")
    wanted = set(STUDIES["rates"].runs(STUDIES["rates"].budgets["full"], {}))
    kept = [run for run in wanted if run.network == "plain" and run.seed in (1, 2)]
    assert sorted(listed.splitlines()) == sorted(map(str, kept))


@pytest.mark.parametrize("backend", ["loky", "ray"])
def test_two_processes_give_the_figures_of_one(backend: str, tmp_path: Path) -> None:
    backends_or_skip("torch")
    if backend == "ray":
        pytest.importorskip("ray", reason="an extra: pip install '.[ray]'")
    arguments = ["--study", "authors", "--size", "quick", "--only", "framework=torch"]
    arguments += ["--only", "seed=1", "--only", "rate=0.01", "--out"]
    command(*arguments, str(tmp_path / "one"))
    # What Ray starts ends with its process.
    program(*arguments, str(tmp_path / "two"), "--workers", "2", "--backend", backend)
    one, other = (records.read(tmp_path / name / "authors.jsonl") for name in ("one", "two"))
    assert {run: outcome_of(one[run]) for run in one} == {
        run: outcome_of(other[run]) for run in other
    }
    assert len(one) == 2


def test_missing_data_are_one_line(tmp_path: Path) -> None:
    arguments = ["--study", "authors", "--only", "framework=torch", "--out", str(tmp_path)]
    output = command(*arguments, "--data", str(tmp_path / "none"), code=1)
    assert "`make data` brings it" in output
    assert len(output.splitlines()) == 1


def backends_or_skip(framework: str) -> None:
    if framework not in backends.names():
        pytest.skip(f"{framework} is not among DOCONV_BACKENDS")
    backends.load(framework)
    if framework == "keras":
        import keras

        if keras.backend.backend() != "tensorflow":
            pytest.skip("the studies of Keras are written for its TensorFlow backend")


# Arms


def arms() -> dict[str, Any]:
    try:
        return importlib.import_module("benchmarks.with_torch.arms").ARMS
    except ImportError:
        return {}


@pytest.mark.parametrize("network", ["plain", "grouped", "depthwise", "sample"])
@pytest.mark.parametrize("arm", arms())
def test_an_arm_starts_from_the_plain_function_unless_it_draws_its_own(
    arm: str, network: str
) -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.classifiers import CLASSIFIERS

    torch.manual_seed(0)
    plain = CLASSIFIERS[network](1, 10)
    x = torch.randn(4, 1, 16, 16)
    before = copy.deepcopy(plain)(x)
    model, optimizer = arms()[arm](plain, 0.1, Recipe(momentum=0.9, weight_decay=1e-2))
    after = copy.deepcopy(model)(x)
    assert torch.equal(before, after) is not ("random" in arm or "start" in arm)
    model(x).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model(x), after)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in trained}) == len(trained)


def test_a_random_D_keeps_the_variance_of_the_kernel() -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.arms import random_D
    from doconv_torch import DOConv2d

    torch.manual_seed(0)
    layer = DOConv2d(64, 64, 3)
    with torch.no_grad():
        before = layer.composed_kernel().std()
        random_D(layer)
        assert layer.composed_kernel().std() == pytest.approx(float(before), rel=0.1)
        assert layer.D.std() > 0.3


def test_the_authors_start_draws_every_column_as_their_layer_does() -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.arms import authors_start
    from doconv_torch import DOConv2d

    torch.manual_seed(0)
    layer = DOConv2d(32, 64, 3, D_mul=18)
    authors_start(layer)
    bound = 1 / np.sqrt(32 * 18)
    for array in (layer.weight, layer.W_extra):
        assert float(array.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    drawn = torch.nn.Conv2d(32, 64, 3).weight.detach().std()  # two copies of half the variance
    assert layer.composed_kernel().detach().std() == pytest.approx(float(drawn), rel=0.05)


@pytest.mark.parametrize("groups", [1, 2, 4], ids=["dense", "grouped", "depthwise"])
def test_norm_matched_pulls_back_what_autograd_does(groups: int) -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.matched import _Kernel

    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, 4 // groups, 3, 3))
    kernel = _Kernel(weight, groups)
    torch.nn.init.normal_(kernel.D)
    gradient = torch.randn_like(weight)
    (kernel.composed() * gradient).sum().backward()
    expected = kernel.W.grad.clone(), kernel.D.grad.clone()
    weight.grad = gradient
    with torch.no_grad():
        kernel.pull_back()
    torch.testing.assert_close((kernel.W.grad, kernel.D.grad), expected)


def test_norm_matched_composes_as_the_layer_does() -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.matched import _Kernel
    from doconv_torch import DOConv2d

    layer = DOConv2d(4, 8, 3, groups=2)
    torch.nn.init.normal_(layer.D)
    kernel = _Kernel(layer.weight, 2)
    with torch.no_grad():
        kernel.D.copy_(layer.D.view_as(kernel.D))
    torch.testing.assert_close(kernel.composed(), layer.composed_kernel())


@pytest.mark.parametrize("rate", [0.001, 1.0])
def test_no_norm_matched_step_is_longer_than_the_plain_one(rate: float) -> None:
    backends_or_skip("torch")
    import torch

    from benchmarks.with_torch.matched import MatchedSGD

    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 8, 3, bias=False)
    optimizer = MatchedSGD(conv, rate, Recipe())
    (kernel,) = optimizer.kernels
    with torch.no_grad():
        kernel.D.normal_()
        conv.weight.copy_(kernel.composed())
    before = conv.weight.detach().clone()
    conv(torch.randn(2, 4, 8, 8)).square().mean().backward()
    longest = float(rate * conv.weight.grad.norm())
    optimizer.step()
    step = float((conv.weight.detach() - before).norm())
    # The second-order term of W's and D's steps is left, which a small rate makes small.
    assert step <= longest * (1.001 if rate < 0.01 else 1.5)
    if rate < 0.01:
        assert step == pytest.approx(longest, rel=1e-3)
