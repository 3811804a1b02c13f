"""Importing torchvision, or what imports it, where its compiled part does not fit this torch."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import torch


def import_beside_torchvision(name: str) -> Any:
    """Import a module of torchvision, or of a library that imports it.

    torchvision's registry wheels are built for the CUDA build of torch. Beside a CPU build their operators are not there, and the
    import fails on `torchvision::nms`. No operator is used here, so declaring the two that the import asks for is enough.
    """
    try:
        return import_module(name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_operators(name.partition(".")[0])
        return import_module(name)


def _declare_operators(library: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", library)]:
        del sys.modules[name]  # half imported
    declared: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(declared)


_KEPT: list[Any] = []
"""A torch Library's declarations live as long as it does."""
