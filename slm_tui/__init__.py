"""Train, watch, understand and talk to small language models in the terminal."""

import os

__version__ = "0.1.0"

# OpenMP threads wait for each other by spinning, and by default for so long that one other busy
# program halves the speed of training. Spinning briefly costs nothing on a quiet machine
# (benchmarks: `busy`). It must be set before torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
