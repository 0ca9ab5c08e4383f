"""`python -m emoprune` is `emoprune`."""

from __future__ import annotations

import signal
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
    finally:
        # all is done, and Python would print a traceback while it ends
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Python remembers a Ctrl-C that came in code made of a text, as that of dataclasses, and would end by
        # the signal although it was caught; the next such code makes it forget
        exec("")


if __name__ == "__main__":
    run()
