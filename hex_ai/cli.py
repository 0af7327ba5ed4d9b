"""The `hex-ai` command: a door that opens at once, for what is behind it takes seconds to load."""

import os
import signal


def main() -> None:
    """Runs the command, see `hex_ai.app`; Ctrl-C while it loads ends it, with nothing to lose."""
    before = signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    from hex_ai.app import run

    signal.signal(signal.SIGINT, before)
    run()
