"""The command line of `hex-ai`: its commands by their names and first lines."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from hex_ai import __version__


def command_line(commands: Mapping[str, tuple[str, str]], arguments: Sequence[str]) -> typer.Typer:
    """All commands by their names and first lines; only what `arguments` name is loaded.

    Args:
      commands: the module of this folder that has each, and the first line of its help.
      arguments: of the command line.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.callback(invoke_without_command=True)(_options)
    for name, (place, line) in commands.items():
        command = _not_loaded
        if name in arguments:
            module = importlib.import_module(f"hex_ai.cli.{place}")
            command = getattr(module, f"{name}_", None) or getattr(module, name)
        # A short help is wrapped where it is too long for the terminal, and not cut.
        app.command(name, short_help=line)(command)
    return app


def _not_loaded() -> None:
    """Stands for a command in the list of them all."""


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
