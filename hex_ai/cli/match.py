"""The commands that let players play, and rate them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status

from hex_ai.arena.foreign import HtpPlayer
from hex_ai.arena.match import match as play
from hex_ai.arena.score import Score
from hex_ai.cli.options import ArchitectureModule, Device
from hex_ai.cli.output import err, out
from hex_ai.cli.progress import PLAIN_SECONDS
from hex_ai.errors import SettingError
from hex_ai.game.records import RED
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.training.ladder import ladder as rate


def match(
    first: Annotated[str, typer.Argument(help="player, see docs/match.md")],
    second: Annotated[str, typer.Argument(help="player")],
    board_size: Annotated[int, typer.Option(help="3 to 19")] = 11,
    games: Annotated[
        int | None,
        typer.Option(help="an even number, two of each opening; default: 200, or a whole suite"),
    ] = None,
    openings: Annotated[
        str,
        typer.Option(
            help="spread over the board, fair (single stones, near even), balanced (pairs of "
            "stones, for 9, 11 and 13), or a file of openings"
        ),
    ] = "spread",
    temperature: Annotated[float, typer.Option(help="of the networks' moves")] = 0.0,
    sprt: Annotated[
        str | None, typer.Option(help="stop once decided between two Elo leads, such as 0,50")
    ] = None,
    swap: Annotated[
        str,
        typer.Option(help="off, or how Blue may swap one stone: pieces, sides or benzene"),
    ] = "off",
    seed: Annotated[int, typer.Option(help="of openings and moves")] = 0,
    games_in_flight: Annotated[int, typer.Option(help="played side by side")] = 256,
    move_seconds: Annotated[float, typer.Option(help="of other engines, for a move")] = 60.0,
    device: Device = "auto",
    architecture_module: ArchitectureModule = None,
    games_file: Annotated[
        Path | None, typer.Option("--save", help="file to write the games to, in TRMPH")
    ] = None,
) -> None:
    """Let two players play a match, every opening twice.

    Each player has each colour once in an opening.
    """
    leads = None if sprt is None else _leads(sprt)
    status = err.status("playing")
    progress = _Progress(status)
    try:
        with status:
            score = play(
                first,
                second,
                board_size=board_size,
                games=games,
                openings=openings,
                temperature=temperature,
                sprt=leads,
                swap=swap,
                seed=seed,
                games_in_flight=games_in_flight,
                move_seconds=move_seconds,
                device=device,
                save=games_file,
                report=progress.report,
            )
    except BaseException:
        if progress.latest is not None:
            err.print(f"broken off: {progress.latest.line()}")
        raise
    out.print(f"{first} against {second}, {board_size}x{board_size}: {score.line()}")
    for line in _notes(score, leads):
        out.print(line)


class _Progress:
    """Shows how a match goes: live on a terminal, in a line now and then elsewhere."""

    def __init__(self, status: Status) -> None:
        self.latest: Score | None = None
        self._status, self._told = status, time.monotonic()

    def report(self, score: Score) -> None:
        """Is told the score whenever games have ended."""
        self.latest = score
        line = f"{len(score.games)}/{score.asked} games  {score.line()}"
        self._status.update(line)
        if not err.is_terminal and time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            err.print(line)


def _notes(score: Score, leads: tuple[float, float] | None) -> Iterator[str]:
    """What there is to say about a match besides its score."""
    red = sum(game.winner == RED for game in score.games)
    yield f"{score.distinct} of {len(score.games)} games distinct, {red} won by Red"
    if leads is not None:
        accepted = {1: f"{leads[1]:+g}", -1: f"{leads[0]:+g}", 0: "neither"}
        yield f"Elo {accepted[score.verdict]} accepted"
    for player in score.players:
        if isinstance(player, HtpPlayer):
            yield (
                f"{player.name}: {player.faults} faults, {player.seconds:.1f} s in all, "
                f"slowest move {player.slowest:.2f} s"
            )


def ladder(
    run: Annotated[Path, typer.Argument(help="folder of a run of learning")],
    board_size: Annotated[int | None, typer.Option(help="default: the run's largest")] = None,
    games: Annotated[
        int | None, typer.Option(help="of each match, an even number; default: 100, or a suite")
    ] = None,
    search_widths: Annotated[str, typer.Option(help="or 'policy' for no search")] = "3,2",
    checkpoints: Annotated[int, typer.Option(help="to rate, at most")] = 12,
    opponent: Annotated[
        list[str] | None, typer.Option(help="a player from outside to meet too, see docs/match.md")
    ] = None,
    openings: Annotated[str, typer.Option(help="spread, fair, balanced or a file")] = "spread",
    seed: Annotated[int, typer.Option(help="of the openings")] = 0,
    device: Device = "auto",
    architecture_module: ArchitectureModule = None,
) -> None:
    """Rate the checkpoints of a run, and draw the curve of its strength."""
    widths = () if search_widths == "policy" else parse_widths(search_widths)
    with err.status("playing"):
        rated = rate(
            run,
            board_size=board_size,
            games=games,
            search_widths=widths,
            checkpoints=checkpoints,
            opponents=opponent or (),
            openings=openings,
            seed=seed,
            device=device,
            report=err.print,
        )
    for rung in rated.rungs:
        out.print(
            f"{rung.elo:+7.0f} ± {rung.spread:3.0f} Elo  {rung.games:8d} games "
            f"{rung.samples:9d} samples {rung.evaluations:10d} evaluations {rung.seconds:7.0f} s"
        )
    for one in rated.outsiders:
        out.print(f"{one.elo:+7.0f} ± {one.spread:3.0f} Elo  {one.name}")
    out.print(f"{run / 'ladder.png'}")


def _leads(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"{text!r} is not two Elo leads such as '0,50'") from error
    return low, high
