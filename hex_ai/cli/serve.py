"""`hex-ai serve`: the page to play, review and watch on."""

import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hex_ai.cli import options
from hex_ai.cli.output import out
from hex_ai.errors import SettingError


def serve(
    runs: Annotated[Path | None, typer.Option(help="folder whose runs can be watched")] = None,
    model: options.Model = None,
    port: Annotated[int, typer.Option(help="to listen on; 0: a free one")] = 8777,
    host: Annotated[
        str, typer.Option(help="to listen on; beyond this machine, the address has a token")
    ] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,
    architecture_module: options.ArchitectureModule = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    runtime: options.Runtime = "auto",
) -> None:
    """Play, review games and watch runs in a browser."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise SettingError('the page wants the extra [web]: pip install "hex_ai[web]"')
    from hex_ai.web.server import serve

    def ready(address: str) -> None:
        out.print(f"hex_ai is at {address} - Ctrl-C ends it")
        if open_page:
            webbrowser.open(address)

    serve(
        model,
        runs=runs,
        host=host,
        port=port,
        device=device,
        precision=precision,
        runtime=runtime,
        ready=ready,
    )
