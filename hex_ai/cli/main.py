"""The `hex-ai` command: a door that opens at once, for what is behind it takes seconds to load."""

import os
import signal
import sys


def main() -> None:
    """Runs the command (`hex_ai.cli.app`); Ctrl-C while it loads ends it, with nothing to lose."""
    # Whoever starts it with these closed wants to hear nothing.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    before = signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    from hex_ai.cli.app import run

    signal.signal(signal.SIGINT, before)
    run()
