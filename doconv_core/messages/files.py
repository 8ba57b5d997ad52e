"""What is said of files and what is in them."""

from __future__ import annotations

from typing import Any

from doconv_core.messages.layer import error, named

# --- errors of files ---------------------------------------------------------------------


def bad_file(path: Any, fault: str) -> str:
    return f"cannot read {str(path)!r}: {fault}."


def is_a_folder(path: Any) -> str:
    return f"{str(path)!r} is a folder, not a file."


def is_no_file(path: Any) -> str:
    return f"{str(path)!r} is a device or a pipe, not a file."


def is_there(path: Any) -> str:
    return f"cannot write the folder {str(path)!r}: there is something already."


def no_such_folder(path: Any) -> str:
    return f"cannot write {str(path)!r}: its folder does not exist."


def not_written() -> str:
    return "the new file could not be written whole; is the disk full?"


def bad_layer_name(name: Any) -> str:
    return error("a layer's name must be a printable text to be stored", {"name": name})


def bad_stored_dtype(name: str, dtype: Any) -> str:
    return error(
        f"`{name}` must be float16, float32 or float64 to be stored",
        {"dtype": str(dtype)},
        "Widen it first; array.astype('float32') is exact for bfloat16.",
    )


def needs_package(package: str, purpose: str) -> str:
    return f"{purpose} need the package {package}: pip install {package}"


def no_bfloat16(path: Any) -> str:
    return f"{str(path)!r} is of a format that cannot hold bfloat16."


def incomplete_layer(layer: str, found: list[str]) -> str:
    return error(f"{named(layer)} must have weight and D", {"found": found})


def array_twice(layer: str, array: str) -> str:
    return f"{named(layer)} has its {array} under two keys."


def misfit_layer(layer: str, shapes: dict[str, tuple[int, ...]]) -> str:
    return error(f"the arrays of {named(layer)} must fit each other", {"shapes": shapes})


# --- errors of official checkpoints ------------------------------------------------------


def official_incomplete(layer: str, found: list[str]) -> str:
    return error(f"{named(layer)} of an official checkpoint must have W and D", {"found": found})


def official_sizes(layer: str, W: tuple[int, ...], D: tuple[int, ...]) -> str:
    return error(
        f"W and D of {named(layer)} must fit each other as in the official code",
        {"W.shape": tuple(W), "D.shape": tuple(D)},
    )


def official_kernel_size(layer: str, kernel_size: Any, kernel_elements: int) -> str:
    return error(
        f"`kernel_size` of {named(layer)} must have {kernel_elements} elements in all",
        {"kernel_size": kernel_size},
        "Its checkpoint holds their number only.",
    )


def official_not_expressible(layer: str, groups: int | None) -> str:
    return error(
        f"{named(layer)} of an official PyTorch checkpoint pairs outputs with the D of other "
        "channels than its own, which no DO-Conv layer does",
        {"groups": groups},
        "Its kernel is known: import it folded, into a plain convolution.",
    )


def official_names(missing: list[str], unexpected: list[str]) -> str:
    return error(
        "the official checkpoint's layers must be the model's over-parameterized ones",
        {"missing": missing, "unexpected": unexpected},
        "Rename its keys; convert() those layers only, by where=; or load it into the plain "
        "model, which takes every layer's kernel.",
    )


def official_misfit(layer: str, received: dict[str, Any], spec: Any, bias: bool) -> str:
    return error(
        f"{named(layer)} of an official checkpoint must fit the model's",
        {**received, "model": spec, "model_bias": bias},
    )


def official_others(source: str, keys: list[str]) -> str:
    return error(
        f"of another framework's checkpoint ({source!r}) only DO-Conv layers can be loaded",
        {"others": keys},
        "Leave these out and load them in your own way.",
    )


def official_variables(missing: list[str], unexpected: list[str]) -> str:
    return error(
        "the other variables of an official checkpoint must be the model's",
        {"missing": missing, "unexpected": unexpected},
        "Rename its keys, or leave out what the model lacks.",
    )


def condconv_layer(layer: str) -> str:
    return error(
        f"cannot fold {named(layer)} in a file",
        {"kind": "CondConv"},
        "No plain layer computes what it does: load the file into its model and fold() that.",
    )
