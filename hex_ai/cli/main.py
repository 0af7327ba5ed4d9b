"""The `hex-ai` command. Exit statuses are listed in docs/exit-status.md.

A command's module is loaded only when the command is asked for: torch takes seconds to load.
"""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hex_ai import __version__
from hex_ai.cli.output import exit_with_status

# Each command: the module of this folder that has it, and the first line of its help.
COMMANDS = {
    "selfplay": ("selfplay", "Play games of a network against itself."),
    "show": ("games", "Show a game's board."),
    "export": ("games", "Print the games of a run, one a line, in game-id order."),
    "verify": ("games", "Play stored games again and check records, ids, winners and digests."),
    "bench": ("bench", "Measure every mode of play, beside the bare network."),
    "learn": ("train", "Learn by self-play, from nothing or from a checkpoint."),
    "train": ("train", "Train a network on stored games alone."),
    "match": ("match", "Let two players play a match: every opening twice, once with each colour."),
    "ladder": (
        "match",
        "Rate the checkpoints of a run by matches, and draw the curve of its strength.",
    ),
    "play": ("play", "Play a series against whoever comes in an arena of hexgame-server."),
    "htp": ("htp", "Play by the Hex Text Protocol, for HexGui and referees."),
    "tune": ("bench", "Measure how this machine runs a network best, and remember it."),
    "import": ("train", "Turn other people's weights into a checkpoint."),
}


def main() -> None:
    """Runs a command; Ctrl-C while it loads ends it at once, with nothing to lose."""
    arguments = sys.argv[1:]
    before = signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    command = typer.main.get_command(command_line(arguments))
    signal.signal(signal.SIGINT, before)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs shows others
    # Not `command()`, which has statuses of its own for a pipe that is closed.
    with exit_with_status(), command.make_context("hex-ai", arguments) as context:
        command.invoke(context)


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """All commands by their names and first lines; only what `arguments` name is loaded."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.callback(invoke_without_command=True)(_options)
    for name, (place, line) in COMMANDS.items():
        if name in arguments:
            module = importlib.import_module(f"hex_ai.cli.{place}")
            app.command(name)(getattr(module, f"{name}_", None) or getattr(module, name))
        else:
            app.command(name, help=line)(lambda: None)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hex-ai {__version__}")
        raise typer.Exit


def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say it, and end")
    ] = False,
) -> None:
    """Hex: fast self-play, learning from it, matches, and an engine to play against."""
    if context.invoked_subcommand is None:
        print(context.get_help())
