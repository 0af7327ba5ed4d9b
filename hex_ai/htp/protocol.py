"""The lines of the Hex Text Protocol (version 2 of the Go Text Protocol, with Hex commands).

    line ─► request: optional number, command, arguments ─► command ─► `=` text or `?` error

Every request gets exactly one reply, which an empty line ends. Nothing that a command does or meets
can end the session: only `quit` and the end of the input do. Knows nothing of Hex.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hex_ai.errors import CommandError, HexAIError

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "2"

# A file of commands may name another, but not without end.
MAX_FILE_DEPTH = 8
MAX_FILE_BYTES = 2**20

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]{1,10}")
_WORD = re.compile(r'"([^"]*)"|(\S+)')

Arguments = tuple[str, ...]
Command = Callable[[Arguments], str]


@dataclass(frozen=True)
class Request:
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


def format_reply(sign: str, number: str, text: str) -> str:
    """A reply as it is sent: `sign` is `=` or `?`. Empty lines, which would end it, are left out.

    The space stands there also where no text follows: HexGui takes nothing else for a reply.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    return f"{sign}{number} " + "\n".join(line for line in lines if line) + "\n\n"


class Session:
    """Answers the requests of one asker.

    Args:
      commands: what there is besides `quit`, `exec`, `known_command`, `list_commands` and
        `protocol_version`, by name. A command takes its arguments and returns the reply's text; a
        `HexAIError` is its way to fail.

    Attributes:
      over: `quit` was asked for.
    """

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.over = False
        self._depth = 0
        self._commands: dict[str, Command] = {
            "exec": self._exec,
            "known_command": self._known_command,
            "list_commands": self._list_commands,
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
        if request is None:
            return None
        sign, text = self._outcome(request)
        return format_reply(sign, request.number, text)

    def _outcome(self, request: Request) -> tuple[str, str]:
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
        command = self._commands.get(request.name)
        if command is None:
            raise CommandError(f"unknown command: {request.name[:40] or 'none given'}")
        return command(request.arguments)

    def _quit(self, _: Arguments) -> str:
        self.over = True
        return ""

    def _known_command(self, arguments: Arguments) -> str:
        (name,) = expect(arguments, "a command")
        return "true" if name in self._commands else "false"

    def _list_commands(self, _: Arguments) -> str:
        return "\n".join(sorted(self._commands))

    def _exec(self, arguments: Arguments) -> str:
        """Runs the commands of a file up to the first that fails; replies with all they said."""
        (name,) = expect(arguments, "a file")
        if self._depth == MAX_FILE_DEPTH:
            raise CommandError(f"{name}: files of commands name each other too deep")
        self._depth += 1
        try:
            return "\n".join(self._run_lines(name, read_text(name)))
        finally:
            self._depth -= 1

    def _run_lines(self, name: str, text: str) -> Iterable[str]:
        for number, line in enumerate(text.split("\n"), 1):
            request = parse_request(line)
            if request is None:
                continue
            try:
                yield self._run(request)
            except HexAIError as error:
                raise CommandError(f"{name}, line {number}: {error}") from error
            if self.over:
                return


def expect(arguments: Arguments, *wanted: str) -> Arguments:
    """The arguments, which must be as many as are named.

    Raises:
      CommandError: they are not.
    """
    if len(arguments) != len(wanted):
        raise CommandError(f"syntax error: want {' and '.join(wanted) or 'no arguments'}")
    return arguments


def read_text(name: str) -> str:
    """The text of a file that an asker named.

    Raises:
      CommandError: it is no file, cannot be read, or is too large to be meant.
    """
    path = Path(name)
    try:
        # A device or a pipe might never end.
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise CommandError(f"{name[:200]}: not a file, or larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise CommandError(f"{name[:200]}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
