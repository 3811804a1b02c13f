"""One thread a process, here and in what tests start: sums in one order everywhere, and processes that do not crowd each other out."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
