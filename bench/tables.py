"""Tables in files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench import checkpoint
from bench.errors import UsageError


def write(table: pd.DataFrame, path: Path) -> Path:
    """Put a table into its place; where it is."""
    half = path.with_name(f".{path.name}.tmp")
    table.to_parquet(half, index=False)
    checkpoint.replace(half, path)
    return path


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Put a table of numbers and plain names into its place; where it is."""
    checkpoint.write_text(path, table.to_csv(index=False, float_format="%.3f", lineterminator="\n"))
    return path


def read(path: Path) -> pd.DataFrame:
    """A table that a run left. UsageError where there is none that can be read."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({' '.join(str(error).split()):.200}); run it again with --resume never") from error
