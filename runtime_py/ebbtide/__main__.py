"""Where `ebb` begins: nobody can take an interrupt yet, so it ends the process without a word, as it does any
other; `cli.main` takes those that come later.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
