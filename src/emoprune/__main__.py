"""`python -m emoprune` is `emoprune`."""

from emoprune.cli.main import run

run()
