"""Ray itself: one that is started here and ends with us, or one that is there already."""

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import ray

from hex_ai.errors import EngineError, SettingError

# Seconds until an address that does not answer is given up.
CONNECT_SECONDS = 10.0

# Likewise for `ray://`, where Ray tries three times, with a pause as long after each.
_CLIENT_SECONDS = {
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "2",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "2",
}

AUTO = "auto"


@contextmanager
def connected(address: str | None, processors: int | None) -> Iterator[None]:
    """Ray for the duration of the block.

    Args:
      address: of a cluster, as `host:port` or `ray://host:port`; `auto` for that of this machine;
        None starts one here, which ends with the block.
      processors: that one which is started here has to give; None: those of this machine.

    Raises:
      EngineError: no cluster is there, or it does not answer; SettingError: not an address.
    """
    if address not in (None, AUTO):
        _require_answer(str(address))
    options: dict[str, Any] = {
        "num_cpus": processors,
        "include_dashboard": False,
        # By itself Ray has actors step back behind all else on the machine.
        "_system_config": {"worker_niceness": 0},
    }
    if address is not None:
        options = {}
        os.environ.update(_CLIENT_SECONDS | os.environ)
    try:
        with _signals_kept(), warnings.catch_warnings(action="ignore"):
            ray.init(
                address=address or "local",
                namespace="hex_ai",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **options,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        # Ray does not say that it was a token that the cluster has missed.
        hint = "; does it want a token? see docs/scale.md" if address else ""
        raise EngineError(f"Ray at {address or 'this machine'}: {_line(error)}{hint}") from error
    try:
        yield
    finally:
        ray.shutdown()


def nodes() -> list[dict[str, Any]]:
    """The machines that are there now, with what each has to give."""
    untyped: Any = ray
    return [
        {
            "name": node["NodeManagerHostname"],
            "processors": node["Resources"].get("CPU", 0.0),
            "gpus": node["Resources"].get("GPU", 0.0),
        }
        for node in untyped.nodes()
        if node["Alive"]
    ]


def resources(*, free: bool) -> dict[str, float]:
    """What all machines together have to give, or what of it is free: `CPU`, `GPU`, and others."""
    untyped: Any = ray
    found: dict[str, float] = untyped.available_resources() if free else untyped.cluster_resources()
    return found


def ray_version() -> str:
    """That of Ray."""
    return str(ray.__version__)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Gives signals back their handlers: Ray takes SIGTERM, and ends the process by itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _require_answer(address: str) -> None:
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingError(f"{address[:60]!r} is no address of Ray: {error}") from error
    if not host or not port:
        raise SettingError(f"{address[:60]!r} is no address of Ray: want host:port or auto")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(f"Ray at {address}: {error.strerror or error}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
