"""What the page asks about runs by HTTP."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hex_ai.errors import HexAIError, SettingError
from hex_ai.formats.moves import short
from hex_ai.web.answers import EventStream, answer, event
from hex_ai.web.runs import Runs

# Seconds between two looks at a run that somebody watches, and between two words to them.
LOOK_SECONDS = 1.0
WORD_SECONDS = 10.0

_MEDIA = {"parquet": "application/vnd.apache.parquet", "sgf": "application/x-go-sgf"}


class RunPages:
    """Answers about the runs of a folder."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._watches = WeakValueDictionary[str, Watch]()

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
        return answer({"runs": await run_in_threadpool(self._runs.listing)})

    async def view(self, request: Request) -> Response:
        """One run."""
        return answer(await run_in_threadpool(self._runs.view, _text(request, "name")))

    async def live(self, request: Request) -> Response:
        """One run, again and again as it changes, until it is no longer running."""
        name = _text(request, "name")
        watch = self._watches.setdefault(name, Watch(self._runs, name))
        await watch.look()  # a run that is not there is refused at once
        return EventStream(views(watch))

    async def games(self, request: Request) -> Response:
        """The games of a run that pass some filters."""
        filters = _filters(request)
        name = _text(request, "name")
        return answer(await run_in_threadpool(lambda: self._runs.games(name, **filters)))

    async def game(self, request: Request) -> Response:
        """One game."""
        size, number = (_number(request, part, _whole) for part in ("size", "id"))
        name = _text(request, "name")
        return answer(await run_in_threadpool(lambda: self._runs.game(name, size, number)))

    async def download(self, request: Request) -> Response:
        """All games of a run as a file."""
        name, form = _text(request, "name"), _text(request, "format")
        file_name, pieces = await run_in_threadpool(self._runs.download, name, form)
        return StreamingResponse(
            iterate_in_threadpool(_closed_in_the_end(pieces)),
            media_type=_MEDIA.get(form, "text/plain"),
            headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
        )


@dataclass(frozen=True)
class Seen:
    """What a look at a run has found: another number where it is another view."""

    number: int
    text: str
    is_running: bool


class Watch:
    """Looks at a run for all who watch it; for one event loop."""

    def __init__(self, runs: Runs, name: str) -> None:
        self._runs, self._name = runs, name
        self._lock = asyncio.Lock()
        self._fingerprint = ""
        self._looked = self._viewed = -math.inf
        self._seen = Seen(0, "", is_running=True)

    async def look(self) -> Seen:
        """The run as it is now, or was a moment ago. Raises `StoreError` if it is not there."""
        async with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                await self._look()
                self._looked = time.monotonic()
            return self._seen

    async def _look(self) -> None:
        now = await run_in_threadpool(self._runs.fingerprint, self._name)
        # The state may change by mere time.
        if now != self._fingerprint or time.monotonic() - self._viewed >= WORD_SECONDS:
            view = await run_in_threadpool(self._runs.view, self._name)
            is_running = view["state"] == "running"
            self._seen = Seen(self._seen.number + 1, event("view", view), is_running)
            self._fingerprint, self._viewed = now, time.monotonic()


async def views(watch: Watch) -> AsyncIterator[str]:
    """`view` whenever it is another one, while the run goes on; then `end`."""
    told = 0
    try:
        while True:
            seen = await watch.look()
            if seen.number != told:
                told = seen.number
                yield seen.text
            if not seen.is_running:
                break
            await asyncio.sleep(LOOK_SECONDS)
    except HexAIError as error:
        yield event("error", {"error": str(error)})
    yield event("end", {})


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


def _whole(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,18}", text):
        raise ValueError("a whole number")
    return int(text)


def _chance(text: str) -> float:
    if not re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,99}", text) or float(text) > 1:
        raise ValueError("a number from 0 to 1")
    return float(text)


_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    "size": _whole,
    "min_length": _whole,
    "max_length": _whole,
    "start": _whole,
    "count": _whole,
    "upset": _chance,
}
_FILTERS = (*_NUMBERS, "opening", "winner", "end")


def _number(request: Request, name: str, kind: Callable[[str], Any]) -> Any:
    text = _text(request, name)
    try:
        return kind(text)
    except ValueError as error:
        raise SettingError(f"{name} {short(text)} is not {error}") from error


def _filters(request: Request) -> dict[str, Any]:
    """What is asked of the games; empty parts of the address ask nothing."""
    asked = {name for name, value in request.query_params.items() if value}
    unknown = asked - {"name", *_FILTERS}
    if unknown:
        raise SettingError(f"there is no filter {short(min(unknown))}")
    return {
        name: _number(request, name, _NUMBERS[name]) if name in _NUMBERS else _text(request, name)
        for name in _FILTERS
        if name in asked
    }
