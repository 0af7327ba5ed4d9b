"""What the page asks for by HTTP, and what it is answered."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from hex_ai import __version__
from hex_ai.errors import HexAIError, SettingError
from hex_ai.game.records import MAX_SIZE
from hex_ai.puct.levels import LEVELS
from hex_ai.web.analyst import Analyst, Answered, Job
from hex_ai.web.answers import EventStream, answer, event, refusal
from hex_ai.web.asked import (
    MAX_EVALUATIONS,
    MAX_SECONDS,
    MAX_TEXT,
    boards_of,
    budget_of,
    open_board,
    part,
    read_json,
)
from hex_ai.web.guard import Guard
from hex_ai.web.openapi import DESCRIPTION
from hex_ai.web.run_pages import RunPages
from hex_ai.web.runs import Runs
from hex_ai.web.slots import BusyError
from hex_ai.web.trees import read_any, tree_json, tree_of_json, write_any

STATIC = Path(__file__).parent / "static"

# Seconds after which a visitor who was turned away may come again.
RETRY_AFTER = 5

# Seconds within which the body of a request must be there.
BODY_SECONDS = 20.0


def build_app(analyst: Analyst, runs: Runs | None = None, token: str = "") -> Starlette:
    """The page over an engine.

    Args:
      analyst: thinks.
      runs: to watch, if there are to be any.
      token: see `Guard`.
    """
    pages = _Pages(analyst, runs is not None)
    routes = [
        Route("/health", _health),
        Route("/openapi.json", _description),
        Route("/api/engine", pages.engine),
        Route("/api/search", pages.search, methods=["POST"]),
        Route("/api/sweep", pages.sweep, methods=["POST"]),
        Route("/api/read", pages.read, methods=["POST"]),
        Route("/api/write", pages.write, methods=["POST"]),
        *(RunPages(runs).routes() if runs is not None else ()),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={HexAIError: _refused, HTTPException: _not_found},
    )
    # Not a route, which would answer a known path that is asked in the wrong way, too.
    app.router.default = _Static(directory=STATIC, html=True)
    app.router.redirect_slashes = False
    return app


class _Static(StaticFiles):
    """The files of the page; a browser asks each time whether they are still the same."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _stream(job: Job | Answered) -> Response:
    """The events of a job, which ends with the visitor."""
    return EventStream((event(*told) async for told in job.events()), job.end)


class _Pages:
    """Answers about games."""

    def __init__(self, analyst: Analyst, has_runs: bool) -> None:
        self._analyst, self._has_runs = analyst, has_runs
        self._one_at_a_time = asyncio.Lock()

    async def engine(self, _: Request) -> Response:
        return answer(
            {
                "version": __version__,
                "network": self._analyst.network,
                "levels": len(LEVELS),
                "max_size": MAX_SIZE,
                "max_seconds": MAX_SECONDS,
                "max_evaluations": MAX_EVALUATIONS,
                "runs": self._has_runs,
            }
        )

    async def search(self, request: Request) -> Response:
        data = await _body(request)
        play = part({"play": False} | dict(data), "play", bool)
        # A look at a board takes milliseconds. If many come at once, others are answered between.
        async with self._one_at_a_time:
            await asyncio.sleep(0)
            board = open_board(data)
        return _stream(self._analyst.search(board, budget_of(data), play))

    async def sweep(self, request: Request) -> Response:
        return _stream(self._analyst.sweep(boards_of(await _body(request))))

    async def read(self, request: Request) -> Response:
        text = part(await _body(request), "text", str)
        if len(text) > MAX_TEXT:
            raise SettingError(f"the text is longer than {MAX_TEXT} characters")
        return answer(await run_in_threadpool(lambda: tree_json(read_any(text))))

    async def write(self, request: Request) -> Response:
        data = await _body(request)
        form, tree = part(data, "format", str), data.get("tree")
        return answer(
            {"text": await run_in_threadpool(lambda: write_any(tree_of_json(tree), form))}
        )


async def _health(_: Request) -> Response:
    return answer({"status": "ok"})


async def _description(_: Request) -> Response:
    return answer(DESCRIPTION)


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request. Raises `SettingError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A form of another page could send other kinds without being asked.
        raise HTTPException(415, "want application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
    except TimeoutError as error:
        raise HTTPException(408, f"the body took longer than {BODY_SECONDS:g} seconds") from error
    return read_json(body)


async def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, BusyError):
        return refusal(503, str(error), {"Retry-After": str(RETRY_AFTER)})
    return refusal(400, str(error))


async def _not_found(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return refusal(error.status_code, error.detail, error.headers)
