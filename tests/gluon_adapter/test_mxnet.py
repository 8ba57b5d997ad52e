"""MXNet and GluonCV import beside today's NumPy and torch, and leave no trace."""

from __future__ import annotations

import importlib
import sys
import warnings

import numpy as np
import pytest

from doconv_gluon import mxnet as workarounds
from tests.gluon_adapter.helpers import in_child


def test_numpy_has_its_old_names_for_the_import_only() -> None:
    before = dict(vars(np))
    with workarounds.numpy_aliases():
        assert vars(np)["bool"] is bool
        assert vars(np)["float"] is float
    assert vars(np) == before


def test_numpy_is_as_before_after_a_failure() -> None:
    before = dict(vars(np))
    with pytest.raises(ZeroDivisionError), workarounds.numpy_aliases():
        raise ZeroDivisionError
    assert vars(np) == before


def test_a_numpy_that_has_the_name_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(np), "bool", "its own")
    with workarounds.numpy_aliases():
        assert vars(np)["bool"] == "its own"
    assert vars(np)["bool"] == "its own"


@pytest.mark.parametrize("imported", [True, False], ids=["imported", "not-imported"])
def test_a_hidden_module_cannot_be_imported_and_comes_back(
    imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "json.tool"
    monkeypatch.delitem(sys.modules, name, raising=False)
    if imported:
        importlib.import_module(name)
    before = sys.modules.get(name, "absent")
    with workarounds.hidden(name), pytest.raises(ImportError):
        importlib.import_module(name)
    assert sys.modules.get(name, "absent") is before


def test_the_module_table_is_as_before_after_a_failure() -> None:
    before = sys.modules["json"]
    with pytest.raises(ZeroDivisionError), workarounds.hidden("json"):
        raise ZeroDivisionError
    assert sys.modules["json"] is before


def test_warning_filters_are_as_before() -> None:
    before = list(warnings.filters)
    workarounds.import_gluoncv()
    assert warnings.filters == before


def test_gluoncv_goes_on_with_the_old_names_and_numpy_has_none_of_them() -> None:
    """The COCO metric reads ``np.float`` while it counts, HRNet ``np.int`` while it is built."""
    workarounds.import_gluoncv()
    for name in ("utils.metrics.coco_detection", "model_zoo.hrnet", "model_zoo.rcnn.rpn.anchor"):
        module = sys.modules[f"gluoncv.{name}"]
        assert (module.np.float, module.np.int, module.np.zeros) == (float, int, np.zeros)
    assert not {"float", "int"} & vars(np).keys()


def test_numpy_2_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(ImportError, match=r"numpy='2.1.0'. pip install 'numpy<2'"):
        workarounds.import_mxnet()


SHOW_TRACES = """
import numpy, sys, warnings
left = [name for name in ("bool", "int", "float") if name in vars(numpy)]
print(left, warnings.filters == filters, "torch" in sys.modules)
"""


@pytest.mark.parametrize("package", ["doconv_gluon", "doconv_gluon.model_zoo"])
def test_importing_leaves_no_trace(package: str) -> None:
    start = "import numpy, warnings; filters = list(warnings.filters)\n"
    assert in_child(f"{start}import {package}\n{SHOW_TRACES}") == "[] True False"


def test_gluoncv_imports_beside_torch_whichever_comes_first() -> None:
    pytest.importorskip("torch", reason="torch is what this test is about")
    for code in (
        "import torch, doconv_gluon.model_zoo, gluoncv",
        "import doconv_gluon.model_zoo, gluoncv, torch",
    ):
        shown = "print(torch.ones(2).sum().item(), gluoncv.model_zoo.get_model.__name__)"
        assert in_child(f"{code}\n{shown}") == "2.0 get_model"


def test_gluoncv_itself_still_refuses_that_torch() -> None:
    """If this fails, the workaround is no longer needed."""
    torch = pytest.importorskip("torch", reason="torch is what this test is about")
    if int(torch.__version__.split(".")[0]) < 2:
        pytest.skip("GluonCV imports beside torch < 2")
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from doconv_gluon.mxnet import mx\nimport torch\n"
        "try:\n    import gluoncv\nexcept RuntimeError as error:\n    print(error)"
    )
    assert "torch" in in_child(code)
