"""examples/torch on tiny data as they are on disk: stopped, resumed, folded, loaded again."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.recipes.data import cifar, cityscapes, coco, imagefolder, voc

torch = pytest.importorskip("torch", reason="PyTorch's recipes")
hooks = importlib.import_module("torch.optim.optimizer")  # torch.optim hides it
pytest.importorskip("tqdm", reason="the recipes' progress bar")

WITHOUT_TORCHVISION = importlib.util.find_spec("torchvision") is None
needs_torchvision = pytest.mark.skipif(
    WITHOUT_TORCHVISION, reason="torchvision, of the environment of `make test-recipes-torch`"
)
pytestmark = pytest.mark.filterwarnings(
    # torch.utils.data reads an attribute of its own that it has deprecated.
    "ignore:.*pin_memory.*:UserWarning",
)


class Case(NamedTuple):
    """A recipe, the network, its data, options, how many layers it has, and how many are frozen."""

    recipe: str
    network: str
    data: str
    options: str = ""
    layers: int = 0
    frozen: int = 0


TINY = "tests.recipes.tiny:network"
CASES = {
    "own module, CIFAR-10 binary": Case(
        "classification", TINY, "cifar/cifar-10-batches-bin", "--batch-size 5", 2
    ),
    "CIFAR-10 python, average, bfloat16": Case(
        "classification", TINY, "cifar/cifar-10-batches-py",
        "--batch-size 4 --ema 0.5 --bf16 --channels-last --cosine --warmup-epochs 0.5", 2,
    ),
    "CIFAR-100 binary, at the optimizer": Case(
        "classification", TINY, "cifar/cifar-100-binary", "--batch-size 2 --at-optimizer"
    ),
    "CIFAR-100 python, D_mul 18": Case(
        "classification", TINY, "cifar/cifar-100-python", "--batch-size 2 --D-mul 18 --workers 2", 2
    ),
    "CIFAR-10, plain": Case(
        "classification", TINY, "cifar/cifar-10-batches-bin", "--batch-size 5 --do-conv none"
    ),
}  # fmt: skip
WITH_TORCHVISION = {
    "torchvision, folders": Case(
        "classification", "mobilenet_v3_small", "imagefolder", "--batch-size 3 --size 32 --bf16", 12
    ),
    "timm, folders": Case(
        "classification", "timm/resnet10t", "imagefolder", "--batch-size 3 --size 32 --ema 0.9", 11
    ),
    "FCN, VOC": Case("segmentation", "fcn_resnet50", "voc", "--batch-size 2 --crop 32", 19),
    "LR-ASPP, Cityscapes": Case(
        "segmentation", "lraspp_mobilenet_v3_large", "cityscapes",
        "--batch-size 2 --crop 32 --do-conv backbone", 16,
    ),
    "DeepLabV3 at the optimizer, VOC": Case(
        "segmentation", "deeplabv3_mobilenet_v3_large", "voc",
        "--batch-size 2 --crop 32 --at-optimizer --do-conv backbone",
    ),
    "Faster R-CNN, frozen first layers": Case(
        "detection", "fasterrcnn_mobilenet_v3_large_320_fpn", "coco",
        "--batch-size 2 --min-size 64 --backbone IMAGENET1K_V1", 19, 7,
    ),
    "SSDlite, backbone": Case(
        "detection", "ssdlite320_mobilenet_v3_large", "coco",
        "--batch-size 2 --do-conv backbone", 20,
    ),
    "Mask R-CNN at the optimizer": Case(
        "detection", "maskrcnn_resnet50_fpn", "coco", "--batch-size 2 --min-size 64 --at-optimizer"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    cifar.write(root / "cifar")
    imagefolder.write(root / "imagefolder")
    voc.write(root / "voc", images=8)
    cityscapes.write(root / "cityscapes")
    coco.write(root / "coco", images=4)
    return root


def run(case: Case, data: Path, output: Path, *more: str) -> dict[str, Any]:
    """The recipe, in this process."""
    recipe = importlib.import_module(f"examples.torch.{case.recipe}")
    options = ["--workers", "0", *case.options.split(), "--steps", "4", *more]
    given = ["--data", str(data / case.data), "--network", case.network, "--output", str(output)]
    return dict(recipe.main([*given, *options, "--device", "cpu"]))


@contextlib.contextmanager
def ended_after(steps: int) -> Iterator[None]:
    """What a cluster sends when time is up, in the midst of a run."""
    taken = []

    def count(*_: Any) -> None:
        taken.append(1)
        if len(taken) == steps:
            signal.raise_signal(signal.SIGTERM)

    hook = hooks.register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        hook.remove()


def states(output: Path) -> dict[str, Any]:
    return dict(torch.load(output / "folded.pt", weights_only=True))


def check(case: Case, data: Path, folder: Path) -> None:
    """All that a recipe promises."""
    whole = run(case, data, folder / "whole")
    assert json.loads((folder / "whole/result.json").read_text()) == whole
    assert whole["layers"] == case.layers
    trained = torch.load(folder / "whole/checkpoint.pt", weights_only=True)
    D = [value for name, value in trained["model"].items() if name.endswith(".D")]
    assert len(D) == case.layers
    assert sum(bool(each.any()) for each in D) == case.layers - case.frozen

    with ended_after(2), pytest.raises(SystemExit, match="Interrupted after 2 of 4 steps"):
        run(case, data, folder / "parts")
    again = run(case, data, folder / "parts")
    assert {**again, "file": ""} == {**whole, "file": ""}
    one, other = states(folder / "whole"), states(folder / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)

    # Strictly into the untouched network, by its own name.
    reloaded = ["--weights", str(folder / "whole/folded.pt"), "--do-conv", "none", "--steps", "0"]
    plain = run(case, data, folder / "plain", *reloaded)
    metrics = plain.keys() - {"do_conv", "layers", "file", "at_optimizer", "D_mul"}
    assert {name: plain[name] for name in metrics} == {name: whole[name] for name in metrics}


@pytest.mark.parametrize("name", CASES)
def test_recipe(name: str, data: Path, tmp_path: Path) -> None:
    check(CASES[name], data, tmp_path)


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights where torchvision looks for what it has downloaded."""
    models = importlib.import_module("torchvision.models")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    name = models.MobileNet_V3_Large_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.manual_seed(1)
    torch.save(models.mobilenet_v3_large().state_dict(), folder / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@needs_torchvision
@pytest.mark.usefixtures("backbone")
@pytest.mark.parametrize("name", WITH_TORCHVISION)
def test_recipe_with_torchvision(name: str, data: Path, tmp_path: Path) -> None:
    check(WITH_TORCHVISION[name], data, tmp_path)


@pytest.mark.parametrize(
    ("recipe", "network", "layout"),
    [
        ("classification", TINY, "train/CLASS/IMAGE.*cifar-10-batches-bin"),
        pytest.param(
            "segmentation", "fcn_resnet50", "VOC2012/.*leftImg8bit", marks=needs_torchvision
        ),
        pytest.param(
            "detection", "fcos_resnet50_fpn", "instances_{train,val}2017.json",
            marks=needs_torchvision,
        ),
    ],
)  # fmt: skip
def test_missing_data_are_said_with_their_layout(
    recipe: str, network: str, layout: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=f"No data: .*{layout}.* Received: --data={tmp_path}"):
        run(Case(recipe, network, ""), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("recipe", ["classification", "segmentation", "detection"])
def test_an_unknown_network_is_a_sentence(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"No network unknown. --help lists those"):
        run(Case(recipe, "unknown", ""), tmp_path, tmp_path / "out")


def test_the_checkpoint_of_another_run_is_refused(data: Path, tmp_path: Path) -> None:
    case = CASES["own module, CIFAR-10 binary"]
    run(case, data, tmp_path)
    with pytest.raises(SystemExit, match=r"is of a run with lr=.*Use its options"):
        run(case, data, tmp_path, "--lr", "0.5")


def test_fewer_steps_first_are_the_same_run(data: Path, tmp_path: Path) -> None:
    case = CASES["own module, CIFAR-10 binary"]
    run(case, data, tmp_path / "parts", "--steps", "3")
    assert run(case, data, tmp_path / "parts")["layers"] == 2
    run(case, data, tmp_path / "whole")
    one, other = states(tmp_path / "parts"), states(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_CIFAR_file_calls_nothing(tmp_path: Path) -> None:
    reader = importlib.import_module("examples.torch.cifar")
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(pickle.dumps({b"data": Path("x")}))
    with pytest.raises(pickle.UnpicklingError, match="no need of pathlib"):
        reader.CIFAR(folder, training=True)


@needs_torchvision
def test_the_names_are_torchvision_s() -> None:
    published = importlib.import_module("examples.torch.published")
    models = importlib.import_module("torchvision.models")
    named = models.list_models(module=models)
    others = ("googlenet", "inception_v3", "quantized")
    assert [each for each in named if not each.startswith(others)] == published.CLASSIFIERS
    assert models.list_models(module=models.segmentation) == published.SEGMENTERS
    detectors = models.list_models(module=models.detection)
    assert set(published.DETECTORS) == {
        each for each in detectors if not each.startswith("key") and not each.endswith("_v2")
    }


@needs_torchvision
def test_two_processes(data: Path, tmp_path: Path) -> None:
    """By torchrun, as on a machine with two GPUs."""
    case = CASES["own module, CIFAR-10 binary"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
               "-m", "examples.torch.classification", "--data", str(data / case.data),
               "--network", case.network, "--output", str(tmp_path), "--batch-size", "2",
               "--workers", "0", "--steps", "4", "--device", "cpu"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["layers"] == 2
    assert done.stdout.count('"network"') == 1
