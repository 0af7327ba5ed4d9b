"""How visitors are answered: by JSON, by events one after the other, and where something fails."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hex_ai.errors import HexAIError

log = logging.getLogger(__name__)

_FRESH = {"Cache-Control": "no-store"}


def answer(data: Mapping[str, Any]) -> Response:
    """JSON that is asked for anew each time."""
    return JSONResponse(data, headers=_FRESH)


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Why there is no answer."""
    return JSONResponse({"error": reason}, status, headers)


def fault(error: Exception) -> str:
    """What to tell a visitor of an error that nobody foresaw; the server's log has a line on it."""
    error = error.__cause__ if isinstance(error.__cause__, HexAIError) else error
    log.error("a request failed: %s: %s", type(error).__name__, " ".join(str(error).split()))
    return f"the server failed here ({type(error).__name__})"


def event(name: str, message: Mapping[str, Any]) -> str:
    """A server-sent event. Raises `ValueError` if the message holds a number that JSON has not."""
    return f"event: {name}\ndata: {json.dumps(message, allow_nan=False)}\n\n"


class EventStream(StreamingResponse):
    """Server-sent events; the last one is an `error` where they cannot go on.

    Args:
      events: their texts.
      end: called once nobody is told any more.
    """

    def __init__(self, events: AsyncIterator[str], end: Callable[[], object] = bool) -> None:
        super().__init__(_with_error(events), headers=_FRESH, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events, until they or the visitor end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


async def _with_error(events: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for text in events:
            yield text
    except HexAIError as error:
        yield event("error", {"error": str(error)})
    except Exception as error:  # noqa: BLE001 - told to whoever asked; the others go on
        yield event("error", {"error": fault(error)})
