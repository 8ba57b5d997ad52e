"""A slice of ``make fuzz``: the same seed, fewer mutants, and every hostile file."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.formats import FORMATS, sound
from tests.fuzz.hostile import gluon_files, keras_files, safetensors_files, torch_files
from tests.fuzz.mutants import mutants
from tests.fuzz.run import faults

NEEDS = {
    "pt": "torch", "pt legacy": "torch", "safetensors": "torch", "neutral": "safetensors",
    "params": "doconv_gluon.mxnet", "keras": "keras", "weights.h5": "keras",
    "official weights.h5": "h5py", "official h5": "h5py",
}  # fmt: skip
COUNT = 40


@pytest.fixture(autouse=True)
def _others_objects_aside() -> Iterator[None]:
    """Keras's folding looks through all objects: not through the frameworks' and pytest's own."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore")  # what damaged files make of frameworks is not the subject
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str) -> None:
    pytest.importorskip(NEEDS[name], reason="to write the file", exc_type=ImportError)
    if name != "params":
        pytest.importorskip("torch", reason="the layer's arrays")
    form = FORMATS[name]
    (tmp_path / "work").mkdir()
    options = form.options
    if form.beside is not None:
        (tmp_path / "models").mkdir()
        options += form.beside(tmp_path / "models")
    whole = sound(name)
    assert faults(tmp_path / "work", form.suffix, whole, options, 1, None) == []
    for i, data in enumerate(mutants(whole, 0, COUNT)):
        found = faults(tmp_path / "work", form.suffix, data, options, i, None)
        assert found == [], i


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".params", ".keras"])
def test_hostile_files_do_nothing(tmp_path: Path, suffix: str) -> None:
    if suffix == ".keras":
        pytest.importorskip("keras", reason="Keras's files need Keras")
    trace = tmp_path / "trace"
    files = {".pt": lambda: torch_files(trace), ".safetensors": safetensors_files,
             ".params": gluon_files, ".keras": keras_files}[suffix]()  # fmt: skip
    (tmp_path / "work").mkdir()
    for name, data in files.items():
        found = faults(tmp_path / "work", suffix, data, ("--transposed", "none"), 0, None)
        assert found == [], name
        assert not trace.exists(), name
