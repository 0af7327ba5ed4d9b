"""The `hex-ai` command. Exit statuses are listed in docs/exit-status.md.

What takes time to load, or memory and files that a process may lack, is loaded within `main`: torch
takes seconds, so a command's module is loaded only when the command is asked for.
"""

import importlib
import importlib.util
import io
import os
import resource
import sys
from contextlib import suppress
from typing import Any

from hex_ai.cli.company import wait_in_company
from hex_ai.cli.loading import give_up_loading, loading

# Each command: the module of this folder that has it, and the first line of its help.
COMMANDS = {
    "selfplay": ("selfplay", "Play games of a network against itself."),
    "show": ("games", "Show a game's board."),
    "export": ("games", "Print the games of a run, one a line, in game-id order."),
    "card": ("card", "Print the data set card of a run, for the Hugging Face hub."),
    "verify": ("games", "Play stored games again and check records, ids, winners and digests."),
    "bench": ("bench", "Measure every mode of play, beside the bare network."),
    "learn": ("train", "Learn by self-play, from nothing or from a checkpoint."),
    "train": ("train", "Train a network on stored games alone."),
    "match": ("match", "Let two players play a match, every opening twice."),
    "ladder": ("match", "Rate the checkpoints of a run, and draw the curve of its strength."),
    "play": ("play", "Play a series in an arena of hexgame-server."),
    "htp": ("htp", "Play by the Hex Text Protocol, for HexGui and referees."),
    "serve": ("serve", "Play, review games and watch runs in a browser."),
    "tune": ("bench", "Measure how this machine runs a network best, and remember it."),
    "import": ("train", "Turn other people's weights into a checkpoint."),
}

# Commands whose networks run by torch; those of the others do where OpenVINO is not installed.
_BY_TORCH = {"learn", "train", "bench"}
_BY_OPENVINO = {"selfplay", "match", "ladder", "play", "htp", "serve", "tune"}

# Address space that threads want once a command is loaded: for their stacks and what they allocate.
_SPACE_OF_THREADS = 2**28


def main() -> None:
    """Runs a command; Ctrl-C while it loads ends it at once, with nothing to lose."""
    arguments = sys.argv[1:]
    with loading():
        _require_addresses(arguments)
        asker = _asker_of_engine(arguments)
        _settle_threads(arguments)
        loaded = importlib.import_module("hex_ai.cli.command_line")
        output = importlib.import_module("hex_ai.cli.output")
        typer = importlib.import_module("typer")
        command = typer.main.get_command(loaded.command_line(COMMANDS, arguments))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs shows others
    # Not `command()`, which has statuses of its own for a pipe that is closed.
    with output.exit_with_status(), command.make_context("hex-ai", arguments, obj=asker) as context:
        command.invoke(context)


def _asker_of_engine(arguments: list[str]) -> Any:
    """What reads the standard input of an engine, answering what it can; None for other commands.

    Programs ask an engine for its name at once, and the rest takes seconds to load.
    """
    if arguments[:1] != ["htp"] or "--help" in arguments:
        return None
    asker = importlib.import_module("hex_ai.htp.identity").asker_answered_at_once()
    with suppress(RuntimeError):  # no more threads: the engine will say so
        asker.listen()
    return asker


def _settle_threads(arguments: list[str]) -> None:
    """Looks for company before torch is loaded, where torch is to run a network."""
    computing = _BY_TORCH
    if importlib.util.find_spec("openvino") is None:
        computing = _BY_TORCH | _BY_OPENVINO
    if computing.intersection(arguments):
        wait_in_company()


def _require_addresses(arguments: list[str]) -> None:
    """Ends the process where `ulimit -v` leaves too little to load the command in `arguments`.

    A process of its own tries it first, for where memory is short, libraries end theirs.
    """
    wanted = [place for name, (place, _) in COMMANDS.items() if name in arguments]
    if not wanted or resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    child = os.fork()
    if child == 0:
        _load_and_end(wanted)
    if os.waitpid(child, 0)[1]:
        give_up_loading("the limit on address space, `ulimit -v`, is too low")


def _load_and_end(places: list[str]) -> None:
    """Ends the process with 0 if it can load these modules and has room for threads then."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        for place in places:
            importlib.import_module(f"hex_ai.cli.{place}")
        importlib.import_module("torch").empty(_SPACE_OF_THREADS // 4)
        status = 0
    finally:
        os._exit(status)
