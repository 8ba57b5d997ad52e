"""The benchmarks run, write what they say, and their peers compute what they claim."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import files
from benchmarks.__main__ import PROGRAMS
from benchmarks.frame.curves import Curve, curves
from benchmarks.frame.plot import Value, bars
from benchmarks.frame.program import MEASURED
from benchmarks.frame.timing import interleave, ratio
from benchmarks.speed import page as speed
from benchmarks.speed import records
from benchmarks.speed.tables import AT_OPTIMIZER, OFFICIAL, OURS, TABLES, WITHOUT
from benchmarks.subjects.layers import CONVOLUTION, COPY, FEATURE, Layer
from benchmarks.subjects.work import Variant, Work, works
from tests.star.backends import backend as backends

pytestmark = [
    # torch's compiler and profiler, and TensorFlow, read what Python 3.11 has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROOT = Path(__file__).parents[1]
RUNS = list(product(PROGRAMS, MEASURED))


def require(framework: str) -> None:
    if framework not in backends.names():
        pytest.skip(f"{framework} is not among DOCONV_BACKENDS")
    backends.load(framework)
    if framework == "keras":
        import keras

        if keras.backend.backend() != "tensorflow":
            pytest.skip("the benchmarks of Keras are written for its TensorFlow backend")


def run(program: str, framework: str, out: Path) -> dict[str, Any]:
    app = importlib.import_module(f"benchmarks.{program}").app
    arguments = ["--framework", framework, "--preset", "tiny", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(("program", "framework"), RUNS, ids=[" ".join(each) for each in RUNS])
def test_it_writes_its_figures_and_a_picture(program: str, framework: str, tmp_path: Path) -> None:
    require(framework)
    printed = run(program, framework, tmp_path)
    stem = f"{program}-{framework}-tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}.json", f"{stem}.png"]
    assert json.loads((tmp_path / f"{stem}.json").read_text()) == printed
    assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    assert printed["benchmark"] == program
    assert f"{'mxnet' if framework == 'gluon' else framework} " in printed["machine"]


@pytest.mark.parametrize(
    "added", [(-1.0, -2.0), (0.0, 0.0), (-1e-4, 1e-3), (1e-3, 1e-3)], ids=lambda ms: f"{ms} ms"
)
def test_noise_larger_than_what_is_measured_still_gives_a_picture(
    added: tuple[float, float], tmp_path: Path
) -> None:
    values = [Value(ms, ms, ms) for ms in added]
    curve = Curve([4, 8], values, [100 * ms for ms in added], [1e-3, 1e-3], "the same for all")
    picture = curves({"batch": curve, "channels": curve}, "noise")
    picture.savefig(tmp_path / "noise.png")
    for axes in picture.axes:
        low, high = axes.get_ylim()
        assert low < high
    bars({"batch": dict(zip("ab", values, strict=True))}, "noise", "ms").savefig(tmp_path / "b.png")


@pytest.mark.parametrize("framework", MEASURED)
def test_the_folded_network_is_made_of_what_the_plain_one_is(
    framework: str, tmp_path: Path
) -> None:
    require(framework)
    for made in run("inference", framework, tmp_path)["made_of"].values():
        same = {name: each["same"] for name, each in made.items() if isinstance(each, dict)}
        assert same == dict.fromkeys(("classes", "operators", "arrays", "bytes"), True)
        assert made["largest_change_by_fold"] < 1e-6


@pytest.mark.parametrize("framework", MEASURED)
def test_every_way_of_training_starts_from_the_same_function(framework: str) -> None:
    require(framework)
    inference = importlib.import_module(f"benchmarks.with_{framework}.inference")
    peers = importlib.import_module(f"benchmarks.with_{framework}.peers").PEERS
    work = Work("tiny", 2, 8)
    x = inference.images(work)
    plain = inference.predict(inference.network(work), x)
    for name, peer in peers.items():
        if name.endswith("-like"):  # with other branches than DO-Conv
            continue
        outputs = inference.predict(peer(inference.network(work)), x)
        np.testing.assert_allclose(outputs, plain, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("framework", MEASURED)
def test_every_way_of_composing_gives_the_same_kernel(framework: str) -> None:
    require(framework)
    module = importlib.import_module(f"benchmarks.with_{framework}.layer")
    passes = module.passes(Layer(3, 5, 3, 1, 2, 4), compiled=False)
    others = {COPY, CONVOLUTION, FEATURE, "ours, at the optimizer"}
    assert others - {"ours, at the optimizer"} <= set(passes)
    kernels = {way: array(passes[way][0]()) for way in passes if way not in others}
    assert len(kernels) >= 3
    assert abs(kernels["ours"] - array(passes[COPY][0]()) / 2).max() > 0.01  # D does something
    for way, kernel in kernels.items():
        np.testing.assert_allclose(kernel, kernels["ours"], atol=1e-5, err_msg=way)


def array(tensor: Any) -> np.ndarray:
    if hasattr(tensor, "asnumpy"):
        return tensor.asnumpy()
    return (tensor.detach() if hasattr(tensor, "detach") else tensor).numpy()


def test_the_feature_composition_of_keras_computes_what_the_layer_does() -> None:
    require("keras")
    from benchmarks.with_keras.peers import Feature, keras
    from doconv_tf import DOConv2D

    sizes = {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}
    layer, peer = DOConv2D(**sizes), Feature(**sizes)
    x = keras.random.normal((1, 7, 7, 3))
    layer.build(x.shape)
    peer.build(x.shape)
    D = np.random.default_rng(0).normal(size=(3, 9, 9))
    layer.D.assign(D)
    peer.D.assign(D.transpose(1, 2, 0))
    peer._kernel.assign(layer._kernel)
    np.testing.assert_allclose(peer(x).numpy(), layer(x).numpy(), atol=1e-4)


HELD = """
import numpy as np
from benchmarks.frame.memory_child import resident_peak

def step():
    np.ones(100 * 2**20, np.uint8)
    np.ones(60 * 2**20, np.uint8)  # when the other one is gone

print(resident_peak(step, [np.ones(2**18, np.float32)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's pages from /proc")
def test_peak_memory_counts_what_a_step_holds_and_what_is_kept() -> None:
    # In a process of its own, as the program measures: others leave their allocators' habits.
    done = subprocess.run(
        [sys.executable, "-c", HELD], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(101 * 2**20, rel=0.02)


def test_peak_memory_of_torch_counts_its_arrays() -> None:
    require("torch")
    import torch

    from benchmarks.with_torch.memory import peak

    def training() -> Any:
        kept = torch.zeros(1000)

        def step() -> None:
            (kept + 1).sum()
            torch.zeros(500)  # when the other one is gone

        torch.zeros(5000)  # as long as the network is built, which is not the step
        return step

    assert 8000 <= peak(training) < 8200  # kept, and the sum of kept + 1


def test_steps_are_interleaved_and_the_turn_rotates() -> None:
    order: list[str] = []
    steps = {name: lambda name=name: order.append(name) for name in "abc"}
    times = interleave(steps, 3)
    assert "".join(order[6:]) == "abcbcacab"  # after two warm-up steps of each
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_tells_minima_median_and_quartiles() -> None:
    assert ratio([2.0, 6.0, 3.0], [1.0, 2.0, 3.0]) == (2.0, 2.0, 1.5, 2.5)


# --- the command on large files ------------------------------------------------------------


def test_the_command_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SUFFIXES", (".safetensors",))
    (row,) = files.measure(files.CHECKPOINTS["tiny"], tmp_path)
    assert list(tmp_path.iterdir()) == []
    for command in files.COMMANDS:
        assert row[command]["peak_bytes"] >= row["bytes"]
        assert row[command]["cpu_seconds"] > 0


def test_the_page_shows_the_committed_record() -> None:
    record = json.loads((ROOT / "benchmarks/results/files/full.json").read_text())
    assert files.markdown(record["rows"]) in (ROOT / "docs/performance.md").read_text()


# --- the tables of docs/performance.md -----------------------------------------------------


def test_the_page_is_what_the_records_make() -> None:
    page, found = speed.PAGE.read_text(), records.read()
    assert speed.written(page, found) == page, "run `make speed`"
    assert found


def test_what_other_pages_quote_of_them_is_in_the_records() -> None:
    def figures(way: str, **kept: str | int) -> list[float]:
        return [
            ratios[way][name]
            for each in records.read()
            if way in (ratios := each["ratios"]) and all(each[k] == v for k, v in kept.items())
            for name in ("of_minima", "median")
        ]

    def quoted(way: str, threads: int) -> str:
        kept = {"framework": "torch", "work": "resnet18, 32 x 64x64", "threads": threads}
        low, high = (f"{pick(figures(way, **kept)):.2f}" for pick in (min, max))
        return low if low == high else f"{low} to {high}"

    def most(found: list[float]) -> int:
        return round(100 * (max(found) - 1))

    readme, index = (
        " ".join((ROOT / p).read_text().split()) for p in ("README.md", "docs/index.md")
    )
    # A compiler or Keras composes without the kernel, whatever is built.
    composed = figures(OURS, framework="keras") + figures(OURS, work=COMPILED)
    native = [each for each in figures(OURS) if each not in composed] + figures(AT_OPTIMIZER)
    without = figures(OURS + WITHOUT) + figures(AT_OPTIMIZER + WITHOUT)
    for text in (readme, index):
        assert f"0 to {most(native)} %" in text
        assert f"up to {most(composed)} % where Keras or `torch.compile` composes" in text
        assert f"up to {most(without)} % without" in text
    two, one = (
        [quoted(way, threads) for way in (AT_OPTIMIZER, OURS, OFFICIAL)] for threads in (2, 1)
    )
    assert f"takes {two[0]} times the plain one's time that way, {two[1]} with layers" in readme
    assert f"and {two[2]} the authors' way; on one core {one[0]}, {one[1]} and {one[2]} " in readme


COMPILED = "resnet18, 32 x 64x64, torch.compile"
RECORD = {
    "machine": "One, 2 cores", "versions": "torch 2.13", "native": "native kernel",
    "framework": "torch", "work": "resnet18, 32 x 64x64", "threads": 1, "rounds": 9,
    "plain_seconds": 0.3,
    "ratios": {"DO-Conv": {"of_minima": 1.111, "median": 1.134, "low": 1.1, "high": 1.2}},
}  # fmt: skip


def test_a_table_has_a_range_over_the_machines_and_their_figures(tmp_path: Path) -> None:
    path = tmp_path / "speed" / "steps.jsonl"
    other = json.loads(json.dumps({**RECORD, "machine": "Other, 2 cores"}))
    other["ratios"]["DO-Conv"] = {"of_minima": 1.05, "median": 1.06, "low": 1, "high": 2}
    for each in (RECORD, {**other, "rounds": 1}, other):
        records.write(each, path)
    assert records.read(path) == [RECORD, other]
    key = {"machine": "Other, 2 cores", "framework": "torch", "work": RECORD["work"]}
    assert records.has(path, **key, threads=1)
    assert not records.has(path, **key, threads=2)
    page = speed.written(f"before\n{speed.BEGIN}old\n{speed.END}after\n", records.read(path))
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| torch resnet18, 32 x 64x64 | 1 | 1.05..1.13 |  |  |  |  |" in page
    assert "* Other, 2 cores; native kernel; torch 2.13" in page
    assert "old" not in page


def test_every_way_of_a_table_is_one_that_is_measured() -> None:
    require("torch")
    require("gluon")
    for table in TABLES:
        if table.framework != "keras":
            module = importlib.import_module(f"benchmarks.with_{table.framework}.step")
            ways = {way.removesuffix(WITHOUT) for way in table.ways}
            assert ways < set(module.ways(table.work))


def test_the_options_of_torch_change_what_is_measured() -> None:
    plain, last = works("torch", "full"), works("torch", "full", Variant(channels_last=True))
    assert len(last) == len(plain) - 2  # one of them was before, and experts cannot be
    assert all(each.channels_last for each in last)
    gpu = works("torch", "full", Variant("cuda", "bfloat16", compiled=True))
    assert str(gpu[0]) == "resnet50, 128 x 224x224, torch.compile, cuda, bfloat16"


@pytest.mark.parametrize("options", [["--dtype", "bfloat16", "--channels-last"]], ids=" ".join)
@pytest.mark.parametrize("program", ["step_time", "inference"])
def test_programs_take_them(program: str, options: list[str], tmp_path: Path) -> None:
    require("torch")
    app = importlib.import_module(f"benchmarks.{program}").app
    arguments = ["--preset", "tiny", "--out", str(tmp_path), "--json", *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert {path.stem for path in tmp_path.iterdir()} == {
        f"{program}-torch-tiny-bfloat16-channels-last"
    }


def test_another_framework_refuses_them() -> None:
    app = importlib.import_module("benchmarks.sweep").app
    result = CliRunner().invoke(app, ["--framework", "gluon", "--channels-last"])
    assert result.exit_code == 2
    assert "are PyTorch's" in result.output


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    require("torch")
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    app = importlib.import_module("benchmarks.step_time").app
    arguments = ["--preset", "tiny", "--device", "cuda", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "no CUDA device" in result.output
