"""GluonCV's zoo: convert, train a step, fold, and load into the untouched network.

python -m tests.zoo.gluon REPORT [--only WORD]

Each network gets a row in a table of comma-separated values, and a process of its own, which MXNet
may end. Nothing is downloaded. The program fails where a row does.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from doconv_gluon import convert, fold, summary
from doconv_gluon.model.walk import over_parameterized
from doconv_gluon.model_zoo import get_plain_model
from doconv_gluon.mxnet import mx
from tests.star.backends.backend_gluon import ndarray

NEAR = 1e-4
"""How far, relative to the largest output, folding may move a float32 network."""

LIMIT = 300
"""Seconds for one network."""


class Network(NamedTuple):
    """A network of the zoo, not built yet.

    Attributes:
        name: GluonCV's.
        inputs: the shape of each.
        part: what is taken of it; "" is all. A detector's own output depends on orders and
            thresholds, and its training on targets.
        more: arguments.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...] = ((2, 3, 64, 64),)
    part: str = ""
    more: dict[str, Any] = {}  # noqa: RUF012

    def make(self) -> Any:
        """Without weights."""
        for options in ({"pretrained": False, "pretrained_base": False}, {}):
            try:
                net = get_plain_model(self.name, **options, **self.more)
                return _as_network(getattr(net, self.part)) if self.part else net
            except TypeError:  # it has no such argument
                continue
        raise ValueError(self.name)


def _as_network(part: Any) -> Any:
    """A graph saves names that another one cannot load, unless it is a child."""
    if not isinstance(part, mx.gluon.SymbolBlock):
        return part
    network = mx.gluon.nn.HybridSequential(prefix="")
    network.add(part)
    return network


def _of(names: str, *inputs: tuple[int, ...], part: str = "", **more: Any) -> list[Network]:
    return [Network(name, inputs or ((2, 3, 64, 64),), part, more) for name in names.split()]


NETWORKS = [
    *_of("resnet18_v1 resnet18_v1b resnet50_v1b_gn resnet50_v1c resnet50_v1d_0.11 resnet50_v1e"),
    *_of("resnet50_v1s resnet18_v2 resnext50_32x4d se_resnet18_v1 se_resnet18_v2"),
    *_of("se_resnext50_32x4d senet_154 resnest14 dla34 darknet53 xception"),
    *_of("mobilenet0.25 mobilenetv2_0.25 mobilenetv3_small shufflenet_v1"),
    *_of("shufflenet_v2 hrnet_w18_small_v1_c vgg11 vgg16_bn plain18"),
    *_of("residualattentionnet56", (1, 3, 224, 224)),
    *_of("alexnet densenet121 googlenet squeezenet1.0", (1, 3, 224, 224)),
    *_of("inceptionv3 nasnet_4_1056", (1, 3, 299, 299)),
    *_of("cifar_residualattentionnet56 cifar_resnet20_v1 cifar_resnet20_v2", (2, 3, 32, 32)),
    *_of("cifar_resnext29_16x64d cifar_wideresnet16_10", (1, 3, 32, 32)),
    # Segmentation.
    *_of("fcn_resnet50_voc deeplab_resnet50_ade deeplab_resnest50_ade", crop_size=64),
    *_of("psp_resnet50_ade icnet_resnet50_citys danet_resnet50_citys", crop_size=64),
    *_of("deeplab_v3b_plus_wideresnet_citys", (1, 3, 64, 64), crop_size=64),
    *_of("fastscnn_citys hrnet_w18_small_v1_s", crop_size=64),
    # Detection.
    *_of("faster_rcnn_resnet50_v1b_voc doublehead_rcnn_resnet50_v1b_voc", part="features"),
    *_of("faster_rcnn_fpn_resnet50_v1b_coco mask_rcnn_resnet18_v1b_coco", part="features"),
    *_of("mask_rcnn_fpn_resnet18_v1b_coco ssd_512_resnet18_v1_voc", part="features"),
    *_of("ssd_512_mobilenet1.0_voc ssd_300_mobilenet1.0_lite_coco", part="features"),
    *_of("ssd_300_resnet34_v1b_voc ssd_300_vgg16_atrous_voc", (1, 3, 300, 300), part="features"),
    *_of("yolo3_darknet53_voc yolo3_mobilenet0.25_voc", part="stages"),
    *_of("center_net_dla34_voc center_net_dla34_dcnv2_voc", part="base_network"),
    *_of("center_net_resnet18_v1b_voc", (1, 3, 64, 64), part="base_network"),
    *_of("center_net_mobilenetv3_large_duc_voc", (1, 3, 64, 64), part="base_network"),
    # Poses, depth, tracking.
    *_of("simple_pose_resnet18_v1b mobile_pose_mobilenet1.0 alpha_pose_resnet101_v1b_coco"),
    *_of("monodepth2_resnet18_kitti_stereo_640x192", (1, 3, 192, 640)),
    *_of("monodepth2_resnet18_posenet_kitti_mono_640x192", (1, 6, 192, 640)),
    *_of("siamrpn_alexnet_v2_otb15", (1, 3, 127, 127), (1, 3, 287, 287)),
    # Videos.
    *_of("c3d_kinetics400", (1, 3, 16, 112, 112)),
    *_of("i3d_inceptionv1_kinetics400 i3d_inceptionv3_kinetics400", (1, 3, 32, 224, 224)),
    *_of("i3d_resnet50_v1_kinetics400 i3d_nl5_resnet50_v1_kinetics400", (1, 3, 32, 224, 224)),
    *_of("p3d_resnet50_kinetics400 r2plus1d_resnet18_kinetics400", (1, 3, 16, 112, 112)),
    *_of("slowfast_4x16_resnet50_kinetics400", (1, 3, 36, 64, 64)),
]  # fmt: skip


@dataclass
class Row:
    """What became of one network.

    Attributes:
        zoo: the library.
        name: the network.
        result: "ok", what MXNet itself cannot do with the plain network, or what went wrong.
        parameters: of the plain network.
        convolutions: how many it has.
        converted: how many of them are over-parameterized.
        left: reasons why the rest is not, with counts.
        unchanged: the largest difference that converting made to an output; must be 0.
        moved: how many of the D's one step of training moved.
        folded: the largest difference that folding made, relative to the largest output.
        reloaded: the largest one between the folded network and the untouched one that has loaded
            its weights, strictly; must be 0.
        seconds: for everything.
    """

    zoo: str
    name: str
    result: str = ""
    parameters: int = 0
    convolutions: int = 0
    converted: int = 0
    left: str = ""
    unchanged: float = 0
    moved: int = 0
    folded: float = 0
    reloaded: float = 0
    seconds: float = 0


def examine(network: Network, row: Row, record: Path) -> None:
    """Fill in one network's row, and write down how far it has come, before MXNet may end all."""

    def stage(doing: str) -> None:
        row.result = doing
        record.write_text(json.dumps(asdict(row)))

    random = np.random.default_rng(0)
    x = [ndarray(random.normal(size=shape).astype(np.float32)) for shape in network.inputs]
    stage("GluonCV cannot build it")
    net = network.make()
    stage("MXNet cannot run it")
    _make_random(net)
    y = _run(net, x)
    row.parameters = sum(int(np.prod(p.shape)) for p in _parameters(net))
    stage("convert fails")
    converted = convert(net)
    rows = summary(converted)
    row.convolutions, row.converted = len(rows), len(rows.converted)
    reasons = [each.reason for each in rows if each.reason]
    row.left = "; ".join(f"{reasons.count(each)} {each}" for each in sorted(set(reasons)))
    row.unchanged = _difference(_run(converted, x), y)
    stage("MXNet cannot train it")
    _train_a_step(net, x)
    stage("the converted network does not train")
    layers = over_parameterized(converted).values()
    _train_a_step(converted, x)
    row.moved = sum(bool(layer.D.data().asnumpy().any()) for layer in layers)
    stage("fold fails")
    _finish(network, row, converted, x, random)
    faults = {
        "convert changed it": row.unchanged != 0,
        f"{len(layers) - row.moved} D's did not move": row.moved < len(layers),
        "fold changed it": not row.folded < NEAR,
        "the untouched one differs": row.reloaded != 0,
    }
    stage(", ".join(fault for fault, found in faults.items() if found) or "ok")


def _finish(network: Network, row: Row, converted: Any, x: Any, random: Any) -> None:
    for layer in over_parameterized(converted).values():
        layer.D.set_data(0.05 * random.normal(size=layer.D.shape))
    trained = _run(converted, x)
    folded = fold(converted)
    largest = max(float(np.abs(each).max()) for each in trained)
    row.folded = _difference(_run(folded, x), trained) / largest
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "folded.params"))
        folded.save_parameters(path)
        untouched = network.make()
        untouched.load_parameters(path)  # strictly
    row.reloaded = _difference(_run(untouched, x), _run(folded, x))


def _parameters(net: Any) -> list[Any]:
    return [p for p in net.collect_params().values() if mx.gluon.utils.shape_is_known(p.shape)]


def _make_random(net: Any) -> None:
    """Scales of zero, with which some branches start, would hide what lies behind them."""
    net.collect_params(".*gamma").setattr("init", "ones")
    mx.random.seed(0)
    # GluonCV's graphs take no other initializer than the default one.
    graphs = any(isinstance(each, mx.gluon.SymbolBlock) for each in net._children.values())
    init = mx.init.Uniform() if graphs else mx.init.Xavier()
    net.initialize(init, force_reinit=True)


def _forward(net: Any, x: list[Any]) -> list[Any]:
    if type(net) is mx.gluon.nn.HybridSequential and len(x) == 1:  # YOLO's stages, each an output
        outputs = list(accumulate(net, lambda y, stage: stage(y), initial=x[0]))[1:]
    else:
        outputs = net(*x)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [each for each in _flat(outputs) if isinstance(each, mx.nd.NDArray)]


def _flat(outputs: Any) -> list[Any]:
    if not isinstance(outputs, (list, tuple)):
        return [outputs]
    return [each for output in outputs for each in _flat(output)]


def _run(net: Any, x: list[Any]) -> list[np.ndarray]:
    return [y.asnumpy() for y in _forward(net, x)]


def _difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def _train_a_step(net: Any, x: list[Any]) -> None:
    random = np.random.default_rng(1)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-4})
    with mx.autograd.record():
        loss = sum(
            (y * ndarray(random.normal(size=y.shape).astype(np.float32))).mean()
            for y in _forward(net, x)
        )
    loss.backward()
    trainer.step(1, ignore_stale_grad=True)
    mx.nd.waitall()


def _in_process(network: Network) -> Row:
    """One network's row, whatever MXNet does."""
    row, start = Row("gluoncv", network.name), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "row")
        command = [sys.executable, "-m", "tests.zoo.gluon", "--one", network.name, str(record)]
        try:
            done = subprocess.run(command, timeout=LIMIT, capture_output=True, text=True)
            said = " ".join(done.stderr.strip().rsplit("\n", 1)[-1].split())[:200]
            ended = f": {said}" if done.returncode == 1 else f": exit status {done.returncode}"
        except subprocess.TimeoutExpired:
            done, ended = None, f": more than {LIMIT} s"
        if record.exists():
            row = Row(**json.loads(record.read_text()))
    if done is None or done.returncode:
        row.result += ended
    row.seconds = round(time.perf_counter() - start, 1)
    return row


def _is_fault(result: str) -> bool:
    return result != "ok" and not result.startswith(("MXNet cannot", "GluonCV cannot"))


def main() -> int:
    """Write the report; the exit status says whether a network failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--only", default="", help="a part of the names")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.simplefilter("ignore")
        network = next(each for each in NETWORKS if each.name == given.one)
        examine(network, Row("gluoncv", network.name), given.report)
        return 0
    failed = 0
    with given.report.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        for network in NETWORKS:
            if given.only not in network.name:
                continue
            row = _in_process(network)
            table.writerow(asdict(row))
            file.flush()
            print(*asdict(row).values(), sep="  ", flush=True)  # noqa: T201
            failed += _is_fault(row.result)
    print(f"{failed} failed")  # noqa: T201
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
