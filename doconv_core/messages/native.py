"""What is said of the compiled kernel."""

from __future__ import annotations

USED = "native kernel"
NOT_BUILT = "no native kernel: it was not built"
NOT_SUPPORTED = "no native kernel: the processor lacks AVX2 or FMA"


def switched_off(variable: str) -> str:
    return f"no native kernel: {variable}=0"


def not_loaded(error: Exception) -> str:
    return f"no native kernel: {error}"
