"""Who the engine is: what it can say before there is a network, or torch."""

import os
import sys

from hex_ai import __version__
from hex_ai.htp.asker import Asker, standard_input
from hex_ai.htp.protocol import Command, Session, parse_request

IDENTITY: dict[str, Command] = {"name": lambda _: "hex_ai", "version": lambda _: __version__}

_ANSWERED = {*IDENTITY, "protocol_version"}


def asker_answered_at_once() -> Asker:
    """Standard input, of which a thread answers what it can until the first line it cannot."""
    return Asker(standard_input(), _answered)


def _answered(line: str) -> bool:
    """Answers a line on standard output, if that takes no engine.

    Writes without Python's buffers: the interpreter cannot end while a thread holds the lock of
    one.

    Returns:
      whether nothing is left to do for the line. A reply that cannot be written is left to whoever
      can say so.
    """
    request = parse_request(line)
    if request is None:
        return True
    if request.name not in _ANSWERED or sys.stdout is None:
        return False
    try:
        os.write(sys.stdout.fileno(), (Session(IDENTITY).answer(line) or "").encode())
    except OSError:
        return False
    return True
