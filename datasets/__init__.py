"""The harness's data sets: one public module is one registered data set, `_`-modules are shared parts.

This package shares its name with Hugging Face `datasets`. It stands in the project's root and is never installed; whoever
reaches it for the other one is told so.
"""

from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"datasets.{name}: this is the harness's own package `datasets`, not Hugging Face `datasets`; "
        "run code that needs the latter outside the harness's folder"
    )
