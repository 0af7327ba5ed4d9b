"""The commands of `hex-ai`. Exit statuses are listed in docs/exit-status.md."""

import io
import sys
from typing import Annotated

import typer

from hex_ai import __version__
from hex_ai.cli.bench import bench, tune_
from hex_ai.cli.games import export, show, verify
from hex_ai.cli.htp import htp
from hex_ai.cli.match import ladder, match
from hex_ai.cli.output import run_safely
from hex_ai.cli.selfplay import selfplay
from hex_ai.cli.train import import_, learn, train

app = typer.Typer(
    name="hex-ai",
    help="Hex: fast self-play, learning from it, matches, and an engine to play against.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def run() -> None:
    """Runs a command; every error is one line on standard error and a status that is not 0."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs shows others
    sys.exit(run_safely(lambda: app(standalone_mode=False)))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hex-ai {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say it, and end")
    ] = False,
) -> None:
    """Hex: fast self-play, learning from it, matches, and an engine to play against."""
    if context.invoked_subcommand is None:
        print(context.get_help())


for command in (selfplay, show, export, verify, bench, learn, train, match, ladder, htp):
    app.command()(command)
app.command("tune")(tune_)
app.command("import")(import_)
