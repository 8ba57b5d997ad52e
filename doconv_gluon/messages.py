"""What only Gluon's adapter says."""

from __future__ import annotations

from doconv_core.messages.layer import error, named

IN_SYMBOL_BLOCK = "it is part of a SymbolBlock, whose graph is fixed"
DEFORMABLE = "it samples its input where another convolution tells it to, by a forward of its own"
SHARED_D = (
    "its weight and D are also those of a layer outside of this model; fold a copy: fold(net)"
)
SHARED_WEIGHT = "its weight is also that of a layer which stays plain"
ON_SERVERS = (
    "a Trainer updates its arrays on the servers of a distributed kvstore, where they cannot be "
    "set; fold a copy: fold(net), and write before the Trainer's first step"
)
CHANNELS_LAST = "its layout has the channels last"
NO_MEMORY = "no memory for composing a kernel."


def numpy_too_new(version: str) -> str:
    return error(
        "MXNet 1.9.1, the last one, needs NumPy below 2",
        {"numpy": version},
        "pip install 'numpy<2'",
    )


def names_of_parameters(missing: list[str], unexpected: list[str]) -> str:
    return error(
        "a checkpoint that goes by the parameters' own names must have the model's",
        {"missing": missing, "unexpected": unexpected},
        "Numbers in names count the layers made before: build the model as it was built when the "
        "file was written, first in a new process, or give its keys the names of save_parameters.",
    )


def cannot_write(layer: str, reason: str) -> str:
    return f"cannot write the arrays of {named(layer)}: {reason}."


def states_by_position(count: int) -> str:
    return (
        f"The {count} new parameter(s) stand at the end of this Trainer, whose kvstore has the "
        "others by position. States that it saves load only into a Trainer that was extended "
        "likewise: convert the model before the Trainer's first step."
    )


def another_D(layer: str, D_mul: int, other: int) -> str:
    return error(
        f"{named(layer)} shares its weight with a layer that has a D, which it must share too",
        {"D_mul": D_mul, "other": other},
        "Convert with the same D_mul.",
    )


def shares_a_plain_weight(count: int) -> str:
    return (
        f"{count} converted layer(s) share their weight with another network (by params=), which "
        "has not their D and so will not compute the same. Convert that one too."
    )


def feature_needs_in_channels() -> str:
    return error(
        '`in_channels` must be given for composition="feature"',
        {"in_channels": 0},
        "Its depthwise convolution has one filter per input channel; "
        'composition="kernel" can wait for the first input.',
    )


def graph_of_another_device(device: str) -> str:
    return error(
        "a graph that was made for a CPU is executed there",
        {"ctx": device},
        "Call hybridize() again after moving the network.",
    )
