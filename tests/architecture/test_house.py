"""One direction: the house is built as house.py says, and the guards that tell so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import faults, house
from tests.architecture.imports import imports

ROOT = Path(__file__).parents[2]
KINDS = (
    "upward",
    "hidden",
    "circles",
    "rooms",
    "named layers",
    "frameworks in the core's messages",
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_house_is_in_order(kind: str) -> None:
    assert faults.all_of(ROOT)[kind] == []


def test_every_exception_is_still_needed() -> None:
    found = imports(ROOT, house.BELOW)
    hidden = {(each.source, each.target) for each in found if each.hidden}
    for source, target in house.HIDDEN:
        assert any(a == source and b.startswith(target) for a, b in hidden), (source, target)
    for file, classes in house.NAMED_IN_MODEL:
        assert any(
            each.source.endswith(f".model.{file}") and each.target.endswith(f".layers.{classes}")
            for each in found
        )


# --- the guards can fail -------------------------------------------------------------------

BROKEN: dict[str, tuple[str, dict[str, str], str]] = {
    "the core imports an adapter": (
        "upward",
        {"doconv_core/kernel/spec.py": "import doconv_torch.messages"},
        "doconv_core.kernel.spec:1 imports doconv_torch.messages",
    ),
    "an adapter imports another": (
        "upward",
        {"doconv_tf/model/walk.py": "from doconv_torch import messages"},
        "doconv_tf.model.walk:1 imports doconv_torch.messages",
    ),
    "a layer imports what is done to models": (
        "upward",
        {"doconv_torch/layers/do_conv.py": "from doconv_torch.model import walk"},
        "doconv_torch.layers.do_conv:1 imports doconv_torch.model.walk",
    ),
    "an import in a function": (
        "hidden",
        {"doconv_torch/layers/do_conv.py": "def f():\n    import doconv_torch.messages"},
        "doconv_torch.layers.do_conv:2 imports doconv_torch.messages",
    ),
    "a circle": (
        "circles",
        {
            "doconv_torch/layers/do_conv.py": "from doconv_torch.layers import hosts",
            "doconv_torch/layers/hosts.py": "from doconv_torch.layers import do_conv",
        },
        "doconv_torch.layers.do_conv <-> doconv_torch.layers.hosts",
    ),
    "a circle through a function": (
        "circles",
        {
            "doconv_torch/layers/do_conv.py": "from doconv_torch.layers import hosts",
            "doconv_torch/layers/hosts.py": "def f():\n    import doconv_torch.layers.do_conv",
        },
        "doconv_torch.layers.do_conv <-> doconv_torch.layers.hosts",
    ),
    "a further room": (
        "rooms",
        {"doconv_gluon/layers/helpers.py": ""},
        "doconv_gluon/layers has helpers.py",
    ),
    "a class of layers in model": (
        "named layers",
        {"doconv_torch/model/walk.py": "from doconv_torch.layers.do_conv import DOConv2d"},
        "doconv_torch.model.walk:1 imports doconv_torch.layers.do_conv",
    ),
    "a framework in the core's messages": (
        "frameworks in the core's messages",
        {"doconv_core/messages/model.py": 'SAID = "call keras.Model.compile()"'},
        "doconv_core.messages.model:1 says 'call keras.Model.compile()'",
    ),
}


@pytest.mark.parametrize(("kind", "files", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_fault_is_found(kind: str, files: dict[str, str], fault: str, tmp_path: Path) -> None:
    for package in house.BELOW:
        (tmp_path / package).mkdir()
    there = ("messages.py", "layers/do_conv.py", "model/walk.py")
    for name in (*(f"doconv_torch/{each}" for each in there), *files):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""))
    assert fault in faults.all_of(tmp_path)[kind]
