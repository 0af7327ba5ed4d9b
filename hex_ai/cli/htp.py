"""`hex-ai htp`: the engine on standard input and output."""

from pathlib import Path
from typing import Annotated

import typer

from hex_ai.cli.loading import loading
from hex_ai.cli.options import (
    ARCHITECTURE_MODULE,
    Device,
    Model,
    Precision,
    Runtime,
    load_architectures,
)


def htp(
    context: typer.Context,
    model: Model = None,
    widths: Annotated[str, typer.Option(help="children kept at each level")] = "8,4",
    seconds: Annotated[
        float | None, typer.Option(help="for each move; default: by clock or widths")
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="of play, 1 to 10, instead of widths and times")
    ] = None,
    swap: Annotated[str, typer.Option(help="pieces, sides, benzene or off")] = "pieces",
    board_size: Annotated[int, typer.Option(help="1 to 19, until boardsize says another")] = 11,
    device: Device = "auto",
    architecture_module: Annotated[Path | None, typer.Option(help=ARCHITECTURE_MODULE)] = None,
    precision: Precision = "auto",
    runtime: Runtime = "auto",
) -> None:
    """Play by the Hex Text Protocol, for HexGui and referees."""
    with loading():  # here, for the program that asks is being answered already
        from hex_ai.htp.serve import serve_htp
        from hex_ai.inference.fixed_tree_search import parse_widths
    load_architectures(architecture_module)
    serve_htp(
        model,
        widths=parse_widths(widths),
        seconds=seconds,
        level=level,
        swap=swap,
        board_size=board_size,
        device=device,
        precision=precision,
        runtime=runtime,
        lines=context.obj,
    )
