"""Options that several commands have."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Annotated

import typer

from hex_ai.errors import SettingError

MOST_ACTORS = 100_000

ARCHITECTURE_MODULE = "Python file that registers your own network"


def load_architectures(path: Path | None) -> None:
    """Runs the file given by `--architecture-module`, if one is."""
    if path is not None:
        # Not at the top: an option of a command should not load torch for the help of all.
        importlib.import_module("hex_ai.network.architecture").load_architecture_module(path)


def count_of_actors(actors: str | None) -> int | None:
    """What `--actors` says; None: as many as play fastest.

    Raises:
      SettingError: it says neither a number nor `auto`, or Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise SettingError('actors want the extra [ray]: pip install "hex_ai[ray]"')
    if actors in (None, "auto"):
        return None
    if not re.fullmatch("[0-9]{1,6}", actors) or not 1 <= int(actors) <= MOST_ACTORS:
        raise SettingError(f"--actors {actors[:20]!r}: want auto, or 1 to {MOST_ACTORS}")
    return int(actors)


ArchitectureModule = Annotated[
    Path | None, typer.Option(callback=load_architectures, help=ARCHITECTURE_MODULE)
]
Actors = Annotated[
    str | None,
    typer.Option(help="processes of Ray that play: how many, or auto; default with --ray: auto"),
]
BoardSize = Annotated[int, typer.Option(help="3 to 19")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:1 for the second GPU")]
GamesInFlight = Annotated[
    int | None, typer.Option(help="games that share batches; default: by device")
]
Model = Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8")]
Ray = Annotated[
    str | None, typer.Option(help="address of a cluster, or auto; default: one is started here")
]
Runtime = Annotated[str, typer.Option(help="auto, eager, graph, compiled or openvino")]
Widths = Annotated[str, typer.Option(help="children kept at each level")]
