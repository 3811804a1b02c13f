"""Weights by their content."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import nn


def weights_digest(module: nn.Module, besides: str = "") -> str:
    """SHA-256 over a module's tensors with their names, and over what is told besides, in hexadecimal."""
    digest = sha256(besides.encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
