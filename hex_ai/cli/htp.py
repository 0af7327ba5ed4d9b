"""`hex-ai htp`: the engine on standard input and output."""

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hex_ai.htp.engine import HtpEngine
from hex_ai.htp.protocol import Session
from hex_ai.htp.settings import HtpSettings
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.tuning import plan_for
from hex_ai.network.checkpoint import default_model_path, load_checkpoint

# Enough for the searches of a game; a small table is quickly there.
CACHE_SIZE = 2**15


def htp(
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")] = None,
    widths: Annotated[str, typer.Option(help="children kept at each level")] = "8,4",
    seconds: Annotated[
        float | None, typer.Option(help="for each move; default: by clock or widths")
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="of play, 1 to 10, instead of widths and times")
    ] = None,
    swap: Annotated[str, typer.Option(help="pieces, sides or off")] = "pieces",
    board_size: Annotated[int, typer.Option(help="1 to 19, until boardsize says another")] = 11,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
    runtime: Annotated[str, typer.Option(help="auto, eager, graph or compiled")] = "eager",
) -> None:
    """Play by the Hex Text Protocol, for HexGui and referees."""
    settings = HtpSettings(parse_widths(widths), seconds, swap, level)
    network = load_checkpoint(model or default_model_path()).network
    inference = ModelInference(
        network, plan_for(network, device, runtime, precision), cache_size=CACHE_SIZE
    )
    engine = HtpEngine(inference, inference.device, settings, board_size)
    if inference.plan.runtime == "compiled":
        # Better now than on the clock of the first move; what runs eager need not wait.
        inference.prepare(board_size)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no text must not end the session, and only a line feed ends a line.
        sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    # That the asker has gone is no error, and typer would make one of it.
    with suppress(BrokenPipeError):
        Session(engine.commands).serve(sys.stdin or (), _send)


def _send(reply: str) -> None:
    """Writes a reply at once: the asker waits for it."""
    sys.stdout.write(reply)
    sys.stdout.flush()
