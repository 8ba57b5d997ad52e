"""What only Gluon's adapter says."""

from __future__ import annotations

from doconv_core.messages.layer import error, named

IN_SYMBOL_BLOCK = "it is part of a SymbolBlock, whose graph is fixed"
DEFORMABLE = "it samples its input where another convolution tells it to, by a forward of its own"
SHARED_WEIGHT = "its weight is also that of a layer which stays plain"
ON_SERVERS = (
    "a Trainer updates its arrays on the servers of a distributed kvstore, where they cannot be set"
)
CHANNELS_LAST = "its layout has the channels last"


def numpy_too_new(version: str) -> str:
    return error(
        "MXNet 1.9.1, the last one, needs NumPy below 2",
        {"numpy": version},
        "pip install 'numpy<2'",
    )


def cannot_write(layer: str, reason: str) -> str:
    return f"cannot write the arrays of {named(layer)}: {reason}."


def states_by_position(count: int) -> str:
    return (
        f"The {count} new parameter(s) stand at the end of this Trainer, whose kvstore has the "
        "others by position. States that it saves load only into a Trainer that was extended likewise: "
        "convert the model before the Trainer's first step."
    )


def feature_needs_in_channels() -> str:
    return error(
        '`in_channels` must be given for composition="feature"',
        {"in_channels": 0},
        "Its depthwise convolution has one filter per input channel; "
        'composition="kernel" can wait for the first input.',
    )
