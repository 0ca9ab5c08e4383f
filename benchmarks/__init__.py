"""Measurements of emoprune, each run from a checkout as `python -m benchmarks.NAME`."""

import os

# threads that spin while they wait take the cores from what is timed beside them; torch reads this on import,
# which comes later
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
