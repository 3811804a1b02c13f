"""Importing timm and transformers beside a torchvision whose compiled part is missing."""

from __future__ import annotations

import sys
from typing import Any

import torch


def import_timm() -> Any:
    """Import timm, also where torchvision's compiled part does not fit this torch.

    timm and transformers import torchvision, whose registry wheels are built for the CUDA build of torch. Beside a CPU build
    their operators are not there, and the import fails on `torchvision::nms`. No operator is used here, so declaring the two
    is enough, for both libraries.
    """
    try:
        import timm
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        import timm
    return timm


def _declare_torchvision_operators() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]  # half imported
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


_KEPT: list[Any] = []
"""A torch Library's declarations live as long as it does."""
