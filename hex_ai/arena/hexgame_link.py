"""The wire to an arena of hexgame-server: JSON messages over a WebSocket, checked one by one."""

import json
from collections.abc import Container
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode, urlsplit

from hex_ai.errors import EngineError, SettingError

SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

# A server has so long to take us in, and to close.
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 2.0

# Of what others say, so much is repeated.
_REPEATED = 200


class ConnectionLostError(EngineError):
    """The connection has ended; another may take its place."""


class Message:
    """One message, read with checks, each of which raises `EngineError`.

    Attributes:
      kind: what it is about.
    """

    def __init__(self, kind: str, payload: dict[str, Any]) -> None:
        self.kind, self._payload = kind, payload

    @staticmethod
    def read(text: str | bytes) -> "Message":
        """The message that a text is."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"sent what is no JSON: {shown(text)}") from error
        kind = said.get("type") if isinstance(said, dict) else None
        if not isinstance(kind, str):
            raise EngineError(f"sent what is no message: {shown(text)}")
        return Message(shown(kind), said).inner("payload")

    def inner(self, name: str) -> "Message":
        """What stands within it under a name; nothing at all is empty."""
        payload = self._payload.get(name)
        if not isinstance(payload, dict | None):
            raise self._wrong(name, payload)
        return Message(self.kind, payload or {})

    def number(self, name: str, allowed: Container[int]) -> int:
        """A whole number that is one of those."""
        value = self._payload.get(name)
        if type(value) is not int or value not in allowed:
            raise self._wrong(name, value)
        return value

    def seat(self, name: str) -> int:
        """-1, 1, or 0 where there is none."""
        return 0 if self._payload.get(name) is None else self.number(name, (-1, 0, 1))

    def text(self, name: str) -> str:
        """A text in one line, empty where there is none."""
        value = self._payload.get(name)
        return shown(value) if isinstance(value, str) else ""

    def board(self, name: str, size: int) -> list[list[int]] | None:
        """Rows of a board, entries -1, 0 and 1; None before there is one."""
        rows = self._payload.get(name)
        if rows is None:
            return None
        lines = [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
        stones = [
            stone for row in lines for stone in row if type(stone) is int and -1 <= stone <= 1
        ]
        if [len(row) for row in lines] != [size] * size or len(stones) != size * size:
            raise self._wrong(name, rows)
        return lines

    def _wrong(self, name: str, value: object) -> EngineError:
        return EngineError(f"sent {self.kind!r} with {name} {shown(value)}")


class Link:
    """A connection to a server, which can be opened again. Close it at the end.

    Args:
      url: of the server, such as `ws://127.0.0.1:8000`.

    Raises:
      SettingError: no address of a server, or websockets is not installed.
    """

    def __init__(self, url: str) -> None:
        if find_spec("websockets") is None:
            raise SettingError('an arena wants websockets: install "hex_ai[arena]"')
        self._base = _base(url)
        self._stack = ExitStack()

    def open(self, place: str, **query: object) -> None:
        """Connects to a place of the server, anew if there is a connection.

        Raises:
          EngineError: nobody answers there, or not as such a server does.
        """
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        self.close()
        address = f"{self._base}/ws/{place}?{urlencode(query)}"
        try:
            self._connection = self._stack.enter_context(
                connect(address, open_timeout=OPEN_SECONDS, close_timeout=CLOSE_SECONDS)
            )
        except (OSError, UnicodeError, WebSocketException) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise EngineError(reason or str(error)) from error

    def receive(self, seconds: float | None) -> Message:
        """The next message; None: however long it takes.

        Raises:
          ConnectionLostError: the server has closed, or is out of reach.
          EngineError: none came in time, or nonsense.
        """
        from websockets.exceptions import WebSocketException

        try:
            return Message.read(self._connection.recv(timeout=seconds))
        except TimeoutError as error:
            raise EngineError(f"no answer within {seconds:g} s") from error
        except (OSError, WebSocketException) as error:
            raise ConnectionLostError(f"the connection was lost: {error}") from error

    def send(self, kind: str, **payload: object) -> None:
        """Sends a message. Raises `ConnectionLostError` if it cannot be sent."""
        from websockets.exceptions import WebSocketException

        try:
            self._connection.send(json.dumps({"type": kind, "payload": payload}))
        except (OSError, WebSocketException) as error:
            raise ConnectionLostError(f"the connection was lost: {error}") from error

    def close(self) -> None:
        """Ends the connection, if there is one."""
        self._stack.close()


def shown(said: Any) -> str:
    """What somebody else said, short, in one line, without signs that a terminal obeys."""
    text = said if isinstance(said, str) else repr(said)
    clean = "".join(sign if sign.isprintable() else " " for sign in text[:_REPEATED])
    return clean + "…" * (len(text) > _REPEATED)


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        scheme, _ = SCHEMES.get(parts.scheme), parts.port
    except ValueError as error:
        raise SettingError(f"{shown(url)!r} is no address: {error}") from error
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"{shown(url)!r} is no address such as ws://127.0.0.1:8000")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
