"""Measurements of emoprune, each run from a checkout as `python -m benchmarks.NAME`."""

import os

# threads that spin while they wait would take the cores from what is timed beside them; torch reads this
# when it is imported, which happens after this
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
