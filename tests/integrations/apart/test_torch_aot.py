"""AOTInductor: compiled to a library of its own, and run by its loader."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from doconv_core import messages
from doconv_torch import convert, fold
from tests.integrations.test_torch_export import ANY_BATCH, images, network
from tests.torch_adapter.helpers import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.integration("AOTInductor", "fold", export="unfolded: right, and told once")
@pytest.mark.parametrize("folded", [True, False], ids=["folded", "unfolded"])
def test_a_compiled_package_computes_the_same_for_any_batch(folded: bool, tmp_path: Path) -> None:
    model = train(convert(network()))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        exported = fold(model) if folded else model
        program = torch.export.export(exported, (images(2),), dynamic_shapes=ANY_BATCH)
    told = [str(each.message) for each in said]
    assert told.count(messages.model.EXPORTED_UNFOLDED) == (0 if folded else 1)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "m.pt2"))
    run = torch._inductor.aoti_load_package(path)
    for batch in (2, 5):
        torch.testing.assert_close(run(images(batch)), model(images(batch)), rtol=1e-4, atol=1e-5)
