"""The command that describes a run as a data set."""

from pathlib import Path
from typing import Annotated

import typer

from hex_ai.store.card import data_set_card
from hex_ai.store.output_files import require_writable, write_text


def card(
    folder: Annotated[Path, typer.Argument(help="folder of a self-play run")],
    license_id: Annotated[
        str, typer.Option("--license", help="of the games, by the hub's name for it")
    ] = "unknown",
    output: Annotated[
        Path | None, typer.Option("--out", help="file to write it into instead")
    ] = None,
) -> None:
    """Print the data set card of a run, for the Hugging Face hub."""
    if output is not None:
        require_writable(output)
    text = data_set_card(folder, license_id)
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)
