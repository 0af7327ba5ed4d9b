"""`serve`: the page on a port of this machine, until somebody ends it."""

import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from hex_ai.errors import SettingError
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
      SettingError: an invalid setting, or a port that cannot be had.
      CheckpointError: an unusable checkpoint.
    """
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
        with Analyst(inference, inference.device, checkpoint.digest) as analyst:
            server = _Server(
                uvicorn.Config(
                    build_app(analyst, None if runs is None else Runs(runs), token),
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=1,
                    lifespan="off",
                )
            )
            server.on_start = lambda: ready(f"{address}?token={token}" if token else address)
            sys.setswitchinterval(SWITCH_SECONDS)
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it can be asked.

    Attributes:
      on_start: is called then.
    """

    on_start: Callable[[], object]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(f"cannot listen on {host}, port {port}: {reason}") from error
