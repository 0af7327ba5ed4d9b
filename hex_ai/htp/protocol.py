"""The lines of the Hex Text Protocol (version 2 of the Go Text Protocol, with Hex commands).

    line ─► request: optional number, command, arguments ─► command ─► `=` text or `?` error

Every request gets exactly one reply, which an empty line ends. Nothing that a command does or meets
can end the session: only `quit` and the end of the input do. Knows nothing of Hex.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hex_ai.errors import CommandError, HexAIError

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "2"

MAX_FILE_BYTES = 2**26

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]{1,10}")
_WORD = re.compile(r'"([^"]*)"|(\S+)')

Arguments = tuple[str, ...]
Command = Callable[[Arguments], str]


class Request(NamedTuple):
    """One command as it was asked for.

    Attributes:
      number: what the asker calls it by, digits or nothing; the reply repeats it.
      name: of the command; empty if only a number was given.
      arguments: the other words; one that holds spaces is written in double quotes.
    """

    number: str
    name: str
    arguments: Arguments


def parse_request(line: str) -> Request | None:
    """The request in a line, or None if nothing is left of it.

    Control characters vanish, a tab counts as a space, and what follows a `#` is a comment.
    """
    text = _CONTROL.sub("", line).replace("\t", " ").split("#", 1)[0]
    words = [match[2] if match[1] is None else match[1] for match in _WORD.finditer(text)]
    if not words:
        return None
    number = words.pop(0) if _NUMBER.fullmatch(words[0]) else ""
    return Request(number, words[0] if words else "", tuple(words[1:]))


def format_reply(number: str, sign: str, text: str) -> str:
    """A reply as it is sent: `sign` is `=` or `?`. Empty lines, which would end it, are left out.

    The space stands there also where no text follows: HexGui takes nothing else for a reply.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    return f"{sign}{number} " + "\n".join(line for line in lines if line) + "\n\n"


class Session:
    """Answers the requests of one asker.

    Args:
      commands: what there is besides `quit`, `known_command`, `list_commands` and
        `protocol_version`, by name. A command takes its arguments and returns the reply's text, or
        raises a `HexAIError`.

    Attributes:
      over: `quit` was asked for.
    """

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.over = False
        self._commands: dict[str, Command] = {
            "known_command": command(lambda name: str(name in self._commands).lower(), "a command"),
            "list_commands": lambda _: "\n".join(sorted(self._commands)),
            "protocol_version": lambda _: PROTOCOL_VERSION,
            "quit": self._quit,
            **commands,
        }

    def serve(self, lines: Iterable[str], write: Callable[[str], object]) -> None:
        """Answers lines until `quit` or their end; an unfinished last line counts as a line."""
        for line in lines:
            reply = self.answer(line)
            if reply is not None:
                write(reply)
            if self.over:
                return

    def answer(self, line: str) -> str | None:
        """The whole reply to a line, or None if nothing was asked."""
        request = parse_request(line)
        return None if request is None else format_reply(request.number, *self._outcome(request))

    def _outcome(self, request: Request) -> tuple[str, str]:
        """Sign and text of the reply."""
        try:
            return "=", self._run(request)
        except HexAIError as error:
            return "?", _one_line(error)
        # The asker has a game under way: a fault of ours in one command must not end it, and it
        # must be told in a reply, for this is the only place where it can be.
        except Exception as error:
            fault = f"internal error: {type(error).__name__}: {_one_line(error)}"
            log.error("%s: %s", request.name, fault)
            log.debug("%s", request, exc_info=True)
            return "?", fault

    def _run(self, request: Request) -> str:
        if request.name not in self._commands:
            raise CommandError(f"unknown command: {request.name[:40] or 'none given'}")
        return self._commands[request.name](request.arguments)

    def _quit(self, _: Arguments) -> str:
        self.over = True
        return ""


def command(run: Callable[..., str | None], *wanted: str, least: int | None = None) -> Command:
    """A command that takes as many arguments as are named, or at least so many of them.

    Raises:
      CommandError: when it is run with fewer or more.
    """
    counts = range(len(wanted) if least is None else least, len(wanted) + 1)

    def checked(arguments: Arguments) -> str:
        if len(arguments) not in counts:
            raise CommandError(f"syntax error: want {' and '.join(wanted) or 'no arguments'}")
        return run(*arguments) or ""

    return checked


def read_text(name: str) -> bytes:
    """The text of a file that an asker named, as bytes: its format says how they are read.

    Raises:
      CommandError: it is no file, cannot be read, or is too large.
    """
    path = Path(name)
    try:
        # A device or a pipe might never end.
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise CommandError(f"{name[:200]}: not a file, or larger than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise CommandError(f"{name[:200]}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
