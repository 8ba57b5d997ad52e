"""GluonCV's networks of the paper's tables: convert, train, fold, save, load, export, import."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import network_layers
from doconv_gluon import convert, fold, summary
from doconv_gluon.model_zoo import (
    backbone,
    backbone_and_head,
    get_model,
    get_plain_model,
    gluoncv,
)
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import layers_of
from tests.star.backends.backend_gluon import ndarray

pytestmark = [
    # MXNet's own: of SymbolBlock.imports; of mx.nd.array beside a recent SciPy (Faster R-CNN's
    # anchors); of Faster R-CNN's target encoders, which prediction does not use.
    pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments"),
    pytest.mark.filterwarnings("ignore:Please import `csr_matrix` from:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Parameter normalizedperclassboxcenterencoder"),
]


@dataclass(frozen=True)
class Network:
    name: str
    layers: int
    """Convolutions with more than one kernel element."""
    size: int = 64
    options: dict[str, Any] = field(default_factory=dict)
    lr: float = 1e-4

    @property
    def is_detector(self) -> bool:
        return self.name.startswith("faster_rcnn")

    def plain(self) -> Any:
        net = get_plain_model(self.name, **self.options)
        if self.is_detector:
            _shrink(net)
        return net

    def images(self) -> Any:
        batch = 1 if self.is_detector else 2
        x = np.random.default_rng(0).normal(size=(batch, 3, self.size, self.size))
        return ndarray(x.astype(np.float32))


def _shrink(net: Any) -> None:
    """Fewer proposals than its 2000, which an image this small does not even have."""
    net._rpn_test_post_nms = net.rpn._test_post_nms = 4
    net.rpn._train_post_nms = net.sampler._num_proposal = 32
    net._num_sample = net.sampler._num_sample = 8
    net.sampler._max_pos = 2
    targets = gluoncv.model_zoo.rcnn.faster_rcnn.rcnn_target.RCNNTargetGenerator
    net._target_generator = targets(net.num_class, 2, 1)


ALL = "DOCONV_ALL" in os.environ
"""Whether ``make test-zoo`` asks, which has also what repeats the blocks of the others."""
DEPTHS = {18: 17} | ({34: 33, 50: 17, 101: 34, 152: 51} if ALL else {})
"""And their layers. ResNet-50 is in the networks below, too."""
SEGMENTATION = {"fcn_resnet50_voc": 21, "deeplab_resnet50_ade": 24} | (
    {"psp_resnet50_ade": 21} if ALL else {}
)
NETWORKS = [
    *(
        Network(f"resnet{depth}_{version}", layers)
        for depth, layers in DEPTHS.items()
        for version in ("v1", "v1b", "v2")
    ),
    Network("resnext50_32x4d", 17),
    Network("mobilenet1.0", 14),
    Network("mobilenetv2_1.0", 18),
    Network("mobilenetv3_large", 16),
    Network("mobilenetv3_small", 12),
    Network("plain18", 17),
    *(
        Network(name, layers, options={"pretrained_base": False, "crop_size": 64})
        for name, layers in SEGMENTATION.items()
    ),
    Network("faster_rcnn_resnet50_v1b_voc", 18, 96, {"pretrained_base": False}, lr=1e-2),
]


def outputs(net: Any, x: Any) -> list[np.ndarray]:
    y = net(x)
    return [array.asnumpy() for array in (y if isinstance(y, (list, tuple)) else [y])]


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def operators(net: Any) -> list[Any]:
    """What the graph of a hybridized network does: names and initializers aside."""
    nodes = json.loads(net._cached_graph[1].tojson())["nodes"]
    return [
        (node["op"], None if node["op"] == "null" else node.get("attrs"), node["inputs"])
        for node in nodes
    ]


@dataclass
class Story:
    network: Network
    x: Any
    before: list[np.ndarray]
    converted: Any
    after: list[np.ndarray]


@pytest.fixture(scope="module", params=NETWORKS, ids=[network.name for network in NETWORKS])
def story(request: pytest.FixtureRequest) -> Story:
    network: Network = request.param
    net, x = network.plain(), network.images()
    # Some zoo networks start with branches that give zero; nothing would be trained there at first.
    net.collect_params(".*gamma").setattr("init", "ones")
    mx.random.seed(0)
    net.initialize(mx.init.Xavier(magnitude=1), force_reinit=True)
    before = outputs(net, x)
    converted = convert(net)
    return Story(network, x, before, converted, outputs(converted, x))


def train(story: Story) -> None:
    net, x = story.converted, story.x
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": story.network.lr})
    targets = ()
    if story.network.is_detector:
        box = np.array([[[5, 5, 60, 60]]], np.float32)
        targets = (ndarray(box), mx.nd.zeros((1, 1, 1)))
    else:
        net.hybridize()
    rng = np.random.default_rng(1)
    with mx.autograd.record():
        y = net(x, *targets)
        loss = sum(
            (
                array.astype("float32") * ndarray(rng.normal(size=array.shape).astype(np.float32))
            ).sum()
            for array in (y if isinstance(y, (list, tuple)) else [y])
        )
    loss.backward()
    trainer.step(len(x))
    net.hybridize(False)


@pytest.mark.integration("GluonCV's networks", "convert")
def test_converting_leaves_the_output_unchanged(story: Story) -> None:
    assert len(layers_of(story.converted)) == story.network.layers
    assert_same(story.after, story.before)


@pytest.mark.integration("GluonCV's networks", "train", "save", "fold", "export")
def test_one_step_moves_D_everywhere_and_the_deployed_network_is_plain(
    story: Story, tmp_path: Path
) -> None:
    network, x, path = story.network, story.x, str(tmp_path / "net")
    train(story)
    for name, layer in layers_of(story.converted).items():
        D = layer.D.data().asnumpy()
        assert np.isfinite(D).all(), name
        assert D.any(), name

    expected, folded = outputs(story.converted, x), fold(story.converted)
    for ours, theirs in zip(outputs(folded, x), expected, strict=True):
        assert abs(ours - theirs).max() <= 1e-5 * abs(theirs).max()

    # Saved, and loaded by the zoo's own network.
    folded.save_parameters(f"{path}.params")
    plain = network.plain()
    plain.load_parameters(f"{path}.params")
    assert_same(outputs(plain, x), outputs(folded, x))

    # Exported, and imported without any class.
    for net in (plain, folded):
        net.hybridize()
    assert_same(outputs(plain, x), hybridized := outputs(folded, x))
    assert operators(folded) == operators(plain)
    folded.export(path)
    imported = mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    assert_same(outputs(imported, x), hybridized)


# --- get_model -----------------------------------------------------------------------------

HEADS = {
    "all": (None, {"layer", "head", "auxlayer", "conv1"}),
    "backbone": (backbone, {"layer", "conv1"}),
    "backbone-and-head": (backbone_and_head, {"layer", "head", "conv1"}),
    "stage": ("layer4", {"layer"}),
}


@pytest.mark.parametrize(("where", "parts"), HEADS.values(), ids=HEADS)
def test_stages_are_selected_by_where(where: Any, parts: set[str]) -> None:
    net = get_model("fcn_resnet50_voc", where=where, pretrained_base=False)
    found = {name.split(".")[0] for name in layers_of(net)}
    assert {part.rstrip("1234") if part.startswith("layer") else part for part in found} == parts


def test_the_backbone_of_a_detector_is_its_resnet() -> None:
    net = get_model("faster_rcnn_resnet50_v1b_voc", where=backbone, pretrained_base=False)
    assert {name.split(".")[0] for name in layers_of(net)} == {"features", "top_features"}
    reasons = {row.name: row.reason for row in summary(net)}
    assert reasons["rpn.conv1.0"] == "not converted"


def test_arguments_reach_the_zoo() -> None:
    net = get_model("mobilenet1.0", classes=7)
    net.initialize()
    assert net(mx.nd.zeros((1, 3, 32, 32))).shape == (1, 7)


def test_an_unknown_network_is_the_zoo_s_error() -> None:
    with pytest.raises(ValueError, match='"resnet19_v1" is not among the following model list'):
        get_model("resnet19_v1")


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("plain18", "plain18"),
        ("resnet18_v1b", "resnet18"),
        ("resnet34_v1b", "resnet34"),
        ("resnet50_v1b", "resnet50"),
        ("resnet101_v1b", "resnet101"),
        ("resnet152_v1b", "resnet152"),
        ("resnext50_32x4d", "resnext50_32x4d"),
        ("mobilenet1.0", "mobilenet_v1"),
        ("mobilenetv2_1.0", "mobilenet_v2"),
    ],
)
def test_the_core_s_cost_tables_are_of_these_networks(name: str, core: str) -> None:
    net = get_model(name)
    net.initialize()
    rows = [row for row in summary(net, mx.nd.zeros((1, 3, 64, 64))) if row.kind.endswith("2D")]
    macs = sorted(row.macs[0] for row in rows if row.K > 1)
    expected = sorted(
        layer.spec.W_shape[0]
        * layer.spec.W_shape[1]
        * layer.spec.K
        * int(np.prod(layer.output_size))
        for layer in network_layers(core, 64)
        if layer.spec.has_D
    )
    assert macs == expected
