"""What the command says of the formats that it reads."""

from __future__ import annotations

NOT_TORCH = "it is damaged, or not a file that torch.save wrote"
NO_DICT = "it is not a dict or a list of state dicts"
NOT_HDF5 = "it is damaged, or not an HDF5 file"
NOT_GLUON = "it is damaged, or not a Gluon parameter file"


def other_object(name: str, path: str) -> str:
    where = f"at {path!r} " if path else ""
    return (
        f"{where}it holds an object of {name!r}, which is neither a tensor nor known to be "
        f"harmless; where you trust the file, pass --allow {name}, and nothing of it is run "
        "either way"
    )
