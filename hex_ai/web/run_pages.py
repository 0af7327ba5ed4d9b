"""What the page asks about runs by HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hex_ai.errors import HexAIError, SettingError
from hex_ai.web.runs import Runs

# Seconds between two looks at a run that somebody watches, and between two words to them.
LOOK_SECONDS = 1.0
WORD_SECONDS = 10.0

_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    "size": int,
    "min_length": int,
    "max_length": int,
    "start": int,
    "count": int,
    "upset": float,
}
_FILTERS = (*_NUMBERS, "opening", "winner", "end")

_MEDIA = {"parquet": "application/vnd.apache.parquet", "sgf": "application/x-go-sgf"}


class RunPages:
    """Answers about the runs of a folder."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def routes(self) -> list[Route]:
        """Where it is asked."""
        return [
            Route("/api/runs", self.listing),
            Route("/api/runs/view", self.view),
            Route("/api/runs/live", self.live),
            Route("/api/runs/games", self.games),
            Route("/api/runs/game", self.game),
            Route("/api/runs/download", self.download),
        ]

    async def listing(self, _: Request) -> Response:
        """All runs."""
        return _answer({"runs": await run_in_threadpool(self._runs.listing)})

    async def view(self, request: Request) -> Response:
        """One run."""
        return _answer(await run_in_threadpool(self._runs.view, _text(request, "name")))

    async def live(self, request: Request) -> Response:
        """One run, again and again as it changes, until it is no longer running."""
        name = _text(request, "name")
        first = await run_in_threadpool(self._runs.view, name)
        return StreamingResponse(
            self._views(name, first),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def games(self, request: Request) -> Response:
        """The games of a run that pass some filters."""
        filters = _filters(request)
        name = _text(request, "name")
        return _answer(await run_in_threadpool(lambda: self._runs.games(name, **filters)))

    async def game(self, request: Request) -> Response:
        """One game."""
        size, number = (_number(request, part, int) for part in ("size", "id"))
        name = _text(request, "name")
        return _answer(await run_in_threadpool(lambda: self._runs.game(name, size, number)))

    async def download(self, request: Request) -> Response:
        """All games of a run as a file."""
        name, form = _text(request, "name"), _text(request, "format")
        file_name, pieces = await run_in_threadpool(self._runs.download, name, form)
        return StreamingResponse(
            iterate_in_threadpool(_closed_in_the_end(pieces)),
            media_type=_MEDIA.get(form, "text/plain"),
            headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
        )

    async def _views(self, name: str, view: dict[str, Any]) -> AsyncIterator[str]:
        seen, silent = "", 0.0
        try:
            while True:
                now = await run_in_threadpool(self._runs.fingerprint, name)
                if now != seen or silent >= WORD_SECONDS:
                    if seen:  # the state may have changed by mere time
                        view = await run_in_threadpool(self._runs.view, name)
                    seen, silent = now, 0.0
                    yield _event("view", view)
                    if view["state"] != "running":
                        break
                await asyncio.sleep(LOOK_SECONDS)
                silent += LOOK_SECONDS
        except HexAIError as error:
            yield _event("error", {"error": str(error)})
        yield _event("end", {})


def _event(name: str, message: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(message, allow_nan=False)}\n\n"


def _closed_in_the_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces; whoever goes before the last leaves no file open."""
    try:
        yield from pieces
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _text(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise SettingError(f"{name} is missing")
    return value


def _number(request: Request, name: str, kind: Callable[[str], Any]) -> Any:
    text = _text(request, name)
    try:
        return kind(text)
    except ValueError as error:
        raise SettingError(f"{name} {text[:20]!r} is not a number") from error


def _filters(request: Request) -> dict[str, Any]:
    """What is asked of the games; empty parts of the address ask nothing."""
    asked = {name for name, value in request.query_params.items() if value}
    unknown = asked - {"name", *_FILTERS}
    if unknown:
        raise SettingError(f"there is no filter {min(unknown)[:40]!r}")
    return {
        name: _number(request, name, _NUMBERS[name]) if name in _NUMBERS else _text(request, name)
        for name in _FILTERS
        if name in asked
    }


def _answer(data: Mapping[str, Any]) -> Response:
    return JSONResponse(data, headers={"Cache-Control": "no-store"})
