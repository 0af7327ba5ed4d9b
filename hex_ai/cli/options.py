"""Options that several commands have."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

ARCHITECTURE_MODULE = "Python file that registers your own network"


def load_architectures(path: Path | None) -> None:
    """Runs the file given by `--architecture-module`, if one is."""
    if path is not None:
        # Not at the top: an option of a command should not load torch for the help of all.
        importlib.import_module("hex_ai.network.architecture").load_architecture_module(path)


ArchitectureModule = Annotated[
    Path | None, typer.Option(callback=load_architectures, help=ARCHITECTURE_MODULE)
]
BoardSize = Annotated[int, typer.Option(help="3 to 19")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:1 for the second GPU")]
GamesInFlight = Annotated[
    int | None, typer.Option(help="games that share batches; default: by device")
]
Model = Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8")]
Runtime = Annotated[str, typer.Option(help="auto, eager, graph, compiled or openvino")]
Widths = Annotated[str, typer.Option(help="children kept at each level")]
