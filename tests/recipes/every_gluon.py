"""Every Gluon recipe's other data, options and networks: ``make test-recipes``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_gluon import convert, fold, summary
from doconv_gluon.mxnet import mx
from examples.gluon import classification, common, detection, segmentation
from examples.gluon.pyramid import on_cpus
from examples.gluon.settings import CIFAR10, IMAGENET, SEGMENTATION
from tests.recipes import gluon
from tests.recipes.data import voc_augmented
from tests.recipes.test_gluon import (  # noqa: F401  the same tests, of other runs
    Runs,
    made,
    pytestmark,
    test_a_recipe_trains_what_it_converts,
    test_an_interrupted_run_ends_as_one_that_was_not,
    test_gluoncv_loads_what_was_folded_and_measures_the_same,
)


@pytest.fixture(params=gluon.MORE.values(), ids=gluon.MORE, scope="module")
def runs(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    if request.param.network.endswith("_coco"):
        pytest.importorskip("pycocotools", reason="GluonCV's COCO needs pycocotools")
    with pytest.MonkeyPatch.context() as patch:
        yield made(request.param, tmp_path_factory.mktemp("recipe"), patch)


# --- options ---------------------------------------------------------------------------------


def test_the_plain_network_is_trained_without_a_D(tmp_path: Path) -> None:
    case = gluon.CASES["classification, RecordIO"]
    case.write(tmp_path / "data")
    result = case.run(tmp_path / "data", tmp_path / "plain", "--do-conv none")
    assert result["layers"] == 0
    assert not any(
        ".D" in name for name in gluon.arrays(tmp_path / "plain" / f"step-{gluon.STEPS}.params")
    )


def test_D_mul_is_that_of_every_layer(tmp_path: Path) -> None:
    case = gluon.CASES["classification, RecordIO"]
    case.write(tmp_path / "data")
    case.run(tmp_path / "data", tmp_path / "more", "--D-mul 30")
    saved = gluon.arrays(tmp_path / "more" / f"step-{gluon.STEPS}.params")
    assert {array.shape[-1] for name, array in saved.items() if name.endswith(".D")} == {30}


@pytest.mark.parametrize("name", ["classification, folders", "segmentation, VOC", "detection, VOC"])
def test_workers_do_not_change_a_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = gluon.ALL[name]
    gluon.tiny(monkeypatch)
    case.write(tmp_path / "data")
    alone, helped = (
        case.run(tmp_path / "data", tmp_path / str(count), f"--workers {count}") for count in (0, 2)
    )
    assert {**alone, "parameters": ""} == {**helped, "parameters": ""}


@pytest.mark.parametrize("name", ["classification, folders", "segmentation, VOC", "detection, VOC"])
def test_two_devices_share_a_batch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = gluon.ALL[name]
    gluon.tiny(monkeypatch)
    case.write(tmp_path / "data")
    result = case.run(tmp_path / "data", tmp_path / "two", "--cpus 2")
    figures = gluon.evaluated(case, tmp_path / "data", tmp_path, result["parameters"])
    assert figures == {key: result[key] for key in figures}


def test_the_second_run_on_VOC_starts_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = gluon.CASES["segmentation, VOC"]
    gluon.tiny(monkeypatch)
    voc_augmented.write(case.write(tmp_path / "data"))
    first = case.run(tmp_path / "data", tmp_path / "first", "--augmented")
    more = f"--start {first['parameters']} --lr 1e-12"
    second = case.run(tmp_path / "data", tmp_path / "second", more)
    before, after = (gluon.arrays(each["parameters"]) for each in (first, second))
    assert all(
        np.allclose(after[name], before[name], atol=1e-6)
        for name in before
        if name.endswith(".weight")
    )


# --- what MXNet lacks -------------------------------------------------------------------------


def test_a_pyramid_on_CPUs_pools_each_box_from_its_level_alone() -> None:
    """MXNet's ROIAlign leaves what it should set to zero, so two runs may well differ."""
    net, _ = _detector("faster_rcnn_fpn_resnet50_v1b_coco")
    strides, size = (4, 8, 16, 32), (2, 2)
    common.seed(0)
    levels = [mx.nd.random.normal(shape=(1, 3, 256 // each, 256 // each)) for each in strides]
    edges = (20, 60, 150, 250)  # of boxes, whose areas make them 2, 2, 3 and 4
    boxes = mx.nd.array([[0, 0, 0, edge, edge] for edge in edges])
    of_level = [
        mx.nd.contrib.ROIAlign(levels[level - 2], boxes[i : i + 1], size, 1 / strides[level - 2], 2)
        for i, level in enumerate((2, 2, 3, 4))
    ]
    pooled = net._pyramid_roi_feats(mx.nd, levels, boxes, size, strides)
    np.testing.assert_array_equal(pooled.asnumpy(), mx.nd.concat(*of_level, dim=0).asnumpy())


# --- networks --------------------------------------------------------------------------------


def _of(recipe: Any) -> list[str]:
    return [name for names in recipe.networks().values() for name in names]


def _classifier(name: str) -> tuple[Any, tuple[int, ...]]:
    small = name in CIFAR10
    given = (CIFAR10 if small else IMAGENET)[name]
    return classification.build(name, 10, given.last_gamma, False), (1, 3, 32, 32)


def _segmenter(name: str) -> tuple[Any, tuple[int, ...]]:
    options = argparse.Namespace(network=name, syncbn=False, pretrained=False)
    which = segmentation.SETS[name.rpartition("_")[2]]
    given = SEGMENTATION[which]._replace(base_size=32, crop_size=32)
    return segmentation.build(options, which, given, 1), (1, 3, 32, 32)


def _detector(name: str) -> tuple[Any, tuple[int, ...]]:
    net = on_cpus(detection.build(name, False, 1))
    net._rpn_test_post_nms = net.rpn._test_post_nms = 16  # so small an image has not more
    return net, (1, 3, 64, 64)


BUILT = {
    **dict.fromkeys(_of(classification), _classifier),
    **dict.fromkeys(_of(segmentation), _segmenter),
    **dict.fromkeys(_of(detection), _detector),
}


@pytest.mark.parametrize(
    ("name", "stage"),
    # A classification network has no head beside its backbone.
    [(name, stage) for name in BUILT for stage in common.WHERE
     if stage == "all" or BUILT[name] is not _classifier],
)  # fmt: skip
def test_a_network_is_converted_folded_and_loaded(name: str, stage: str, tmp_path: Path) -> None:
    common.seed(0)
    net, shape = BUILT[name](name)
    common.initialize(net, mx.init.Uniform(), [mx.cpu()])
    net = convert(net, where=common.WHERE[stage], inplace=True)
    assert len(summary(net).converted) > 0
    x = mx.nd.random.normal(shape=shape)
    net(x)
    folded = fold(net)
    folded.save_parameters(str(tmp_path / "folded.params"))
    plain, _ = BUILT[name](name)
    plain.load_parameters(str(tmp_path / "folded.params"))
    for ours, theirs in zip(_outputs(folded, x), _outputs(plain, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _outputs(net: Any, x: Any) -> list[np.ndarray]:
    outputs = net(x)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [each.asnumpy() for each in outputs]
