"""`hex-ai play`: games in an arena of another project."""

from pathlib import Path
from typing import Annotated

import typer

from hex_ai.arena.hexgame import ArenaGame, play_series
from hex_ai.arena.specs import PlayerOptions, make_player
from hex_ai.cli.options import ArchitectureModule, Device, Model
from hex_ai.cli.output import err, out
from hex_ai.errors import SettingError
from hex_ai.inference.inference_plan import resolve_device

SEAT_NAMES = {-1: "red, left to right", 1: "blue, top to bottom"}


def play(
    arena: Annotated[str, typer.Argument(help="hexgame:URL, such as hexgame:ws://127.0.0.1:8000")],
    board_size: Annotated[int, typer.Option(help="7, 9, 11, 13 or 19")] = 11,
    games: Annotated[int, typer.Option(help="of the series at most, an odd number to 15")] = 1,
    name: Annotated[str, typer.Option(help="that the arena shows")] = "hex_ai",
    model: Model = None,
    widths: Annotated[
        str | None, typer.Option(help="children kept at each level; default: 8,4")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="for each move, instead of widths")] = None,
    level: Annotated[int | None, typer.Option(help="of play, 1 to 10, instead of widths")] = None,
    device: Device = "auto",
    architecture_module: ArchitectureModule = None,
) -> None:
    """Play a series in an arena of hexgame-server."""
    kind, _, url = arena.partition(":")
    if kind != "hexgame":
        raise SettingError(f"{arena!r} is no arena such as hexgame:ws://127.0.0.1:8000")
    chosen = _player_name(model, widths, seconds, level)
    player = make_player(chosen, PlayerOptions(device=resolve_device(device).type))
    with err.status(f"playing as {name}"):
        score = play_series(
            url, player, board_size=board_size, games=games, name=name, report=_report
        )
    out.print(
        f"{name} against {score.opponent or 'an opponent without a name'}, "
        f"{board_size}x{board_size}, best of {games}: {score.won} : {score.lost}"
    )


def _player_name(
    model: Path | None, widths: str | None, seconds: float | None, level: int | None
) -> str:
    """The player as docs/match.md names it."""
    ways = {"--widths": widths, "--seconds": seconds and f"{seconds:f}s", "--level": level}
    given = {option: way for option, way in ways.items() if way is not None}
    if len(given) > 1:
        raise SettingError(f"{' and '.join(given)}: give one of them")
    strategy = f"level{level}" if level is not None else next(iter(given.values()), "8,4")
    return f"{model or 'shipped'}@{strategy}"


def _report(game: ArenaGame) -> None:
    end, turn = ("won" if game.won else "lost"), ("first" if game.started else "second")
    out.print(f"game {game.number}: {end} in {game.moves} moves, {SEAT_NAMES[game.seat]}, {turn}")
