"""What the command says of the formats that it reads."""

from __future__ import annotations

NOT_ONLY_TENSORS = (
    "it is damaged, or holds other objects than tensors, and reading those would run the file's "
    "code; where you trust it, load it yourself and save the model's state_dict()"
)
NOT_TORCH = "it is damaged, or not a dict that torch.save wrote"
NOT_GLUON = "it is damaged, or not a Gluon parameter file"
