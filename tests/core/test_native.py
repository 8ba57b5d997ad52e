"""The compiled kernel against the usual way and against float64; and what happens without it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import CondConvSpec, DOConvSpec, compose_kernel, compose_kernel_gradients
from doconv_core.messages import native as messages
from doconv_core.native import library, products
from doconv_core.native.products import Sizes

ROOT = Path(__file__).parents[2]
EPS = float(np.finfo(np.float32).eps)
ULPS = 16

needs_it = pytest.mark.skipif(not products.is_available(), reason=library.status())

SIZES = {
    "one": (1, 1, 1),
    "odd": (1, 13, 7),
    "a vector and one": (1, 5, 9),
    "several tiles": (1, 3, 517),
    "worth a second thread": (1, 70, 130),
    "groups": (3, 6, 10),
    "depthwise": (33, 1, 1),
    "depthwise, two outputs each": (9, 2, 1),
}


def moved(array: np.ndarray, order: str) -> np.ndarray:
    """Rows (g, O/g, I/g, 9) as they lie in memory in one of the orders."""
    axes = {"OIk": (0, 1, 2, 3), "OkI": (0, 1, 3, 2), "IOk": (0, 2, 1, 3)}[order]
    return np.ascontiguousarray(array.transpose(axes))


def addresses(*arrays: np.ndarray) -> list[int]:
    return [array.ctypes.data for array in arrays]


def gaussian(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def assert_close(actual: np.ndarray, exact: np.ndarray, terms: np.ndarray) -> None:
    np.testing.assert_array_less(abs(actual - exact), ULPS * EPS * terms + 1e-30)


class Composed:
    """Arrays of some sizes; what the kernel makes of them, and what float64 does."""

    def __init__(self, groups: int, O: int, I: int, order: str) -> None:
        self.sizes = Sizes(groups, O, I, order)
        self.W, self.D = gaussian(groups, O, I, 9), gaussian(groups, I, 9, 9)
        self.grad = gaussian(groups, O, I, 9)[:, ::-1].copy()
        self.order = order

    def native(self, *, threads: int = 1, in_place: bool = False) -> list[np.ndarray]:
        W, grad = moved(self.W, self.order), moved(self.grad, self.order)
        kernel, grad_W = (each.copy() if in_place else np.empty_like(each) for each in (W, grad))
        grad_D = np.full_like(self.D, np.nan)
        X, G = (kernel, grad_W) if in_place else (W, grad)
        assert products.compose(self.sizes, *addresses(kernel, X, self.D), threads=threads)
        arrays = addresses(grad_W, grad_D, G, W, self.D)
        assert products.pull_back(self.sizes, *arrays, threads=threads)
        return [kernel, grad_W, grad_D]

    def exact(self, of: Any = lambda array: array) -> list[np.ndarray]:
        W, D, grad = (of(each.astype(np.float64)) for each in (self.W, self.D, self.grad))
        kernel = W + np.einsum("giks,gois->goik", D, W)
        grad_W = grad + np.einsum("giks,goik->gois", D, grad)
        grad_D = np.einsum("goik,gois->giks", grad, W)
        return [moved(kernel, self.order), moved(grad_W, self.order), grad_D]


every_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
every_order = pytest.mark.parametrize("order", products.ORDERS)


@needs_it
@every_order
@every_size
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in place"])
def test_it_is_within_float32_s_rounding_of_float64(
    sizes: tuple[int, int, int], order: str, in_place: bool
) -> None:
    one = Composed(*sizes, order)
    found = one.native(in_place=in_place)
    for actual, exact, terms in zip(found, one.exact(), one.exact(abs), strict=True):
        assert_close(actual, exact, terms)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Python's threads in OpenMP's place: how many were asked for, each time."""
    asked = []
    work_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    def run(work: int, job: int, count: int, flags: int) -> None:
        asked.append(count)
        # One fewer than promised, as OpenMP may give: the others do its part.
        team = [threading.Thread(target=work_type(work), args=[job]) for _ in range(count - 1)]
        for each in team:
            each.start()
        for each in team:
            each.join()

    address = ctypes.cast(run, ctypes.c_void_p).value
    monkeypatch.setattr(products, "_parallel", lambda kept=run: address)
    return asked


@needs_it
@every_order
def test_the_bits_are_the_same_for_any_number_of_threads(order: str, threads: list[int]) -> None:
    for sizes in (SIZES["worth a second thread"], (4, 32, 33)):
        one = Composed(*sizes, order)
        expected = one.native()
        for count in (2, 3, 7, 200):
            for actual, alone in zip(one.native(threads=count), expected, strict=True):
                np.testing.assert_array_equal(actual, alone)
    assert set(threads) == {2, 3, 7, 200}


@needs_it
def test_a_little_work_is_not_worth_a_thread(threads: list[int]) -> None:
    Composed(1, 8, 8, "OIk").native(threads=2)
    assert threads == []


@needs_it
def test_a_value_that_is_not_finite_stays_in_its_row() -> None:
    for order in products.ORDERS:
        one = Composed(1, 5, 9, order)
        one.W[0, 2, 3, 4] = np.inf
        kernel = moved(np.ones((1, 5, 9, 9), bool), order)
        bad = np.zeros((1, 5, 9, 9), bool)
        bad[0, 2, 3] = True
        assert (np.isfinite(one.native()[0]) == kernel ^ moved(bad, order)).all()


# --- in the core ---------------------------------------------------------------------------

SPECS = {
    "conv": DOConvSpec(5, 12, (3, 3)),
    "grouped": DOConvSpec(6, 4, (3, 3), 2),
    "depthwise": DOConvSpec(5, 10, (9,), 5),
    "transposed": DOConvSpec(6, 4, (3, 3), 2, transposed=True),
    "experts": CondConvSpec(4, 6, (3, 3), 2, 3, 9),
}


@needs_it
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_core_composes_with_it_what_it_does_without(
    spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    shapes = (spec.W_shape, spec.D_shape, spec.kernel_shape)
    W, D, grad = (random.integers(-3, 4, shape).astype(np.float32) for shape in shapes)

    def both() -> list[np.ndarray]:
        gradients = () if spec.leading else compose_kernel_gradients(spec, W, D, grad)
        return [compose_kernel(spec, W, D), *gradients]

    with products.unused():
        expected = both()
    monkeypatch.setattr(np, "einsum", None)  # the usual way
    for actual, usual in zip(both(), expected, strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, usual)


@pytest.mark.parametrize("given", ["float64", "float16", "D_mul", "5x5"])
def test_other_arrays_go_the_usual_way(given: str) -> None:
    dtype = given if given.startswith("float") else "float32"
    size = (5, 5) if given == "5x5" else (3, 3)
    spec = DOConvSpec(2, 3, size, D_mul=11 if given == "D_mul" else None)
    random = np.random.default_rng(0)
    W, D = (random.integers(-3, 4, shape).astype(dtype) for shape in (spec.W_shape, spec.D_shape))
    kernel = compose_kernel(spec, W, D)
    assert kernel.dtype == dtype
    exact = compose_kernel(spec, W.astype(np.float64), D.astype(np.float64))
    np.testing.assert_array_equal(kernel, exact.astype(dtype))


def test_where_it_is_not_used_nothing_is_written() -> None:
    W, D, kernel = gaussian(2, 1, 9), gaussian(1, 9, 9), np.zeros((2, 1, 9), np.float32)
    with products.unused():
        assert not products.is_available()
        assert not products.compose(Sizes(1, 2, 1), *addresses(kernel, W, D))
    assert not kernel.any()


def test_it_takes_memory_that_is_not_contiguous() -> None:
    spec = DOConvSpec(4, 6, (3, 3))
    W = np.rint(3 * gaussian(*spec.W_shape[::-1])).T
    D = np.rint(3 * gaussian(*spec.D_shape)).transpose(0, 2, 1)
    kernel = compose_kernel(spec, W, D)
    np.testing.assert_array_equal(kernel, compose_kernel(spec, W.copy(), D.copy()))


# --- whether it is there -------------------------------------------------------------------


@pytest.fixture
def afresh() -> Iterator[None]:
    library._loaded.cache_clear()
    yield
    library._loaded.cache_clear()


def test_a_variable_switches_it_off(afresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCONV_NATIVE", "0")
    assert library.library() is None
    assert library.status() == messages.switched_off("DOCONV_NATIVE")


def test_without_a_library_that_is_said(
    afresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCONV_NATIVE", raising=False)
    monkeypatch.setattr(library, "PATH", tmp_path / "missing.so")
    assert (library.library(), library.status()) == (None, messages.NOT_BUILT)


def test_a_library_of_another_system_is_not_loaded(
    afresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.so").write_bytes(b"MZ\x90")
    monkeypatch.delenv("DOCONV_NATIVE", raising=False)
    monkeypatch.setattr(library, "PATH", tmp_path / "other.so")
    assert library.library() is None
    assert library.status().startswith("no native kernel: ")


# --- how it is built -----------------------------------------------------------------------

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")


def build(folder: Path, **variables: str) -> list[str]:
    """The package built in a copy; the libraries that came out."""
    pytest.importorskip("setuptools", minversion="70.1", reason="it builds the package")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    inner = Path("doconv_core", "native")
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / inner, folder / inner, ignore=ignored)
    shutil.copy(ROOT / "doconv_core" / "__init__.py", folder / "doconv_core")
    kept = {name: v for name, v in os.environ.items() if name not in ("DOCONV_NATIVE", "CC")}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "built"]
    done = subprocess.run(command, cwd=folder, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [path.name for path in (folder / "built").rglob("*.so")]


@needs_a_compiler
def test_the_library_s_name_says_nothing_of_a_python(tmp_path: Path) -> None:
    assert build(tmp_path) == [library.PATH.name]


@pytest.mark.parametrize(
    "variables", [{"CC": "no-such-compiler"}, {"DOCONV_NATIVE": "0"}], ids=["no compiler", "off"]
)
def test_without_it_the_package_is_built_all_the_same(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    assert build(tmp_path, **variables) == []


@needs_a_compiler
def test_the_sanitizers_find_nothing_and_lack_of_memory_is_told(tmp_path: Path) -> None:
    program = tmp_path / "check"
    options = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [str(COMPILER), *options, "-Wno-psabi", "native_check.c", "-o", str(program), "-lm"],
        cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip
    if built.returncode and "asan" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    # Under a test's own limits of memory, the sanitizer's reservation of addresses may fail.
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "0 wrong"), done.stderr
