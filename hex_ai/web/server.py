"""`serve`: the page on a port of this machine, until somebody ends it."""

import asyncio
import gc
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from hex_ai.errors import HexAIError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import prompt_runtime, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.tuning import plan_for
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.numbers import whole
from hex_ai.web.analyst import Analyst
from hex_ai.web.app import build_app
from hex_ai.web.runs import Runs

CACHE_SIZE = 2**16

# After which a thread that computes lets another have the interpreter: visitors wait for that.
SWITCH_SECONDS = 0.001

# Of the boards whose first visitor does not wait until the network is ready for them.
USUAL_SIZE = 11

# Seconds within which a visitor who has come must have asked for something.
ASKING_SECONDS = 20.0

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    model: Path | None = None,
    *,
    runs: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8777,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Serves the page until a signal ends it.

    Args:
      model: checkpoint, by default the shipped one.
      runs: folder whose runs can be watched.
      host: to listen on. One that others can reach wants a token, which is in the address then.
      port: to listen on; 0 takes a free one.
      device, precision: `auto` or a name; see `plan_for`.
      runtime: a name, or `auto`: what starts quickly, see `prompt_runtime`.
      ready: is given the page's address once it can be asked for.

    Raises:
      SettingError: an invalid setting, runs that are no folder, or a port that cannot be had.
      CheckpointError: an unusable checkpoint.
    """
    if runs is not None and runs.exists() and not runs.is_dir():
        raise SettingError(f"{runs}: is not a folder")
    listener = _listener(host, whole("port", port))
    with listener:
        checkpoint = load_checkpoint(model or default_model_path())
        if runtime == "auto":
            runtime = prompt_runtime(resolve_device(device))
        plan = plan_for(checkpoint.network, device, runtime, precision)
        inference = ModelInference(checkpoint.network, plan, cache_size=CACHE_SIZE)
        token = "" if host in _LOOPBACK else secrets.token_urlsafe(16)
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/"
        with suppress(HexAIError):  # a network of other sizes
            inference.batch_infer(Positions.empty(1, USUAL_SIZE, inference.device))
        with Analyst(inference, inference.device, checkpoint.digest) as analyst:
            server = Server(
                settings(build_app(analyst, None if runs is None else Runs(runs), token)),
                lambda: ready(f"{address}?token={token}" if token else address),
                analyst,
            )
            sys.setswitchinterval(SWITCH_SECONDS)
            # What is loaded stays: to look through it takes long, now and then and at the end.
            gc.freeze()
            server.run(sockets=[listener])


def settings(app: ASGIApp) -> uvicorn.Config:
    """How the page is served."""
    return uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        log_level="critical",  # what goes wrong is said by `fault`, in a line
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,
        lifespan="off",
    )


class Server(uvicorn.Server):
    """Says when it can be asked, and ends after all that it has begun.

    Args:
      config: see uvicorn.
      ready: called when it can be asked.
      analyst: is closed before the loop is, whose coroutines wait for it.
    """

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], object], analyst: Analyst
    ) -> None:
        super().__init__(config)
        self._ready, self._analyst = ready, analyst

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends what goes on, and waits for it."""
        self._analyst.stop()
        await super().shutdown(sockets)
        await asyncio.to_thread(self._analyst.close)


class _Connection(H11Protocol):
    """Ends with a visitor who comes and never asks."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._hanging_up = self.loop.call_later(ASKING_SECONDS, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hanging_up.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None:
            self.transport.close()


def _listener(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise SettingError(f"port {port} is outside 0 to {2**16 - 1}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(f"cannot listen on {host[:100]}, port {port}: {reason}") from error
