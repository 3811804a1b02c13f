"""The harness. Knows no model and no dataset by name."""

import os

# Threads of a parallel region wait asleep instead of spinning. Beside other busy processes spinning threads take the cores
# from the ones they wait for: a training step was then measured at several times its length. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
