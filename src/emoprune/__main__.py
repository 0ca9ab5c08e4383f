"""`python -m emoprune` is `emoprune`."""

from __future__ import annotations

import sys


def run() -> None:
    """The console script."""
    try:
        # within, so that a Ctrl-C during half a second of imports ends in one line as well
        from emoprune.cli import main

        main.run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("emoprune: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
