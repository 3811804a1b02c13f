"""Importing timm and transformers beside a torchvision whose compiled part is missing."""

from __future__ import annotations

from typing import Any

from bench.contracts import import_beside_torchvision


def import_timm() -> Any:
    """Import timm, also where torchvision's compiled part does not fit this torch; transformers can be imported then, too."""
    return import_beside_torchvision("timm")
