"""The commands that let players play, and rate them."""

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from hex_ai.arena.foreign import HtpPlayer
from hex_ai.arena.match import MatchSettings, Score, fair_cells, play_match
from hex_ai.arena.players import Player
from hex_ai.arena.rating import Sprt
from hex_ai.arena.specs import PlayerOptions, make_player
from hex_ai.bench.plots import require_plots
from hex_ai.cli.output import err, out
from hex_ai.errors import SettingError, StoreError
from hex_ai.formats.trmph import write_trmph
from hex_ai.game.records import RED
from hex_ai.inference.fixed_tree_search import check_widths, parse_widths
from hex_ai.inference.inference_plan import default_plan, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.store.run_folder import require_writable, write_json, write_text
from hex_ai.training.curves import add_ladder
from hex_ai.training.ladder import draw_ladder, ladder_json, rate_run
from hex_ai.training.learn_folder import read_notes


def match(
    first: Annotated[str, typer.Argument(help="player, see docs/match.md")],
    second: Annotated[str, typer.Argument(help="player")],
    board_size: Annotated[int, typer.Option(help="3 to 19")] = 11,
    games: Annotated[int, typer.Option(help="an even number, two of each opening")] = 200,
    openings: Annotated[
        str, typer.Option(help="spread over the board, or fair: nearest to even under the pie rule")
    ] = "spread",
    temperature: Annotated[float, typer.Option(help="of the networks' moves")] = 0.0,
    sprt: Annotated[
        str | None, typer.Option(help="stop once decided between two Elo leads, such as 0,50")
    ] = None,
    seed: Annotated[int, typer.Option(help="of openings and moves")] = 0,
    games_in_flight: Annotated[int, typer.Option(help="played side by side")] = 256,
    move_seconds: Annotated[float, typer.Option(help="of other engines, for a move")] = 60.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    games_file: Annotated[
        Path | None, typer.Option("--save", help="file to write the games to, in TRMPH")
    ] = None,
) -> None:
    """Let two players play a match: every opening twice, once with each colour."""
    settings = MatchSettings(
        board_size,
        games,
        games_in_flight,
        seed,
        sprt=None if sprt is None else _sprt(sprt),
    )
    options = PlayerOptions(temperature, seed, move_seconds, resolve_device(device).type)
    settings = replace(settings, cells=_opening_cells(openings, settings, options.device))
    if games_file is not None:
        require_writable(games_file)  # better refused now than after the match
    with ExitStack() as players:
        # Other draws for each, or a network that meets itself would play the same games twice.
        one, other = (
            players.enter_context(closing(make_player(name, replace(options, seed=2 * seed + k))))
            for k, name in enumerate((first, second))
        )
        _report_match(_match_kept(one, other, settings, games_file), (one, other), settings)


def _match_kept(
    one: Player, other: Player, settings: MatchSettings, games_file: Path | None
) -> Score:
    """Plays a match, shows how it stands, and saves its games, also if it breaks off."""
    score = Score(settings.board_size)

    def report(so_far: Score) -> None:
        nonlocal score
        score = so_far
        status.update(score.line())

    try:
        with err.status("playing") as status:
            return play_match(one, other, settings, report)
    except BaseException:
        if score.games:
            err.print(f"broken off: {score.line()}")
        raise
    finally:
        if games_file is not None and score.games:
            write_text(games_file, _trmph_lines(score))


def _trmph_lines(score: Score) -> str:
    lines = (
        write_trmph(score.board_size, game.moves, game.winner, game.end)
        for game in sorted(score.games, key=lambda game: game.number)
    )
    return "\n".join(lines) + "\n"


def _report_match(score: Score, players: tuple[Player, Player], settings: MatchSettings) -> None:
    size = settings.board_size
    out.print(f"{players[0].name} against {players[1].name}, {size}x{size}: {score.line()}")
    red = sum(game.winner == RED for game in score.games)
    out.print(f"{score.distinct} of {len(score.games)} games distinct, {red} won by Red")
    if settings.sprt is not None:
        said = {1: f"{settings.sprt.high:+g}", -1: f"{settings.sprt.low:+g}", 0: "neither"}
        out.print(f"Elo {said[score.verdict]} accepted")
    for player in players:
        if isinstance(player, HtpPlayer):
            out.print(
                f"{player.name}: {player.faults} faults, {player.seconds:.1f} s in all, "
                f"slowest move {player.slowest:.2f} s"
            )


def ladder(
    run: Annotated[Path, typer.Argument(help="folder of a run of learning")],
    board_size: Annotated[int | None, typer.Option(help="default: the run's largest")] = None,
    games: Annotated[int, typer.Option(help="of each match, an even number")] = 100,
    search_widths: Annotated[str, typer.Option(help="or 'policy' for no search")] = "3,2",
    checkpoints: Annotated[int, typer.Option(help="to rate, at most")] = 12,
    seed: Annotated[int, typer.Option(help="of the openings")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Rate the checkpoints of a run by matches, and draw the curve of its strength."""
    notes = read_notes(run)
    if notes is None:
        raise StoreError(f"{run}: holds no run of learning")
    require_plots(run)
    size = board_size if board_size is not None else max(notes["settings"]["board_sizes"])
    widths = () if search_widths == "policy" else check_widths(parse_widths(search_widths))
    settings = MatchSettings(size, games, seed=seed)
    place = resolve_device(device).type
    with err.status("playing"):
        rungs = rate_run(run, settings, widths, checkpoints, place, lambda line: err.print(line))
    write_json(run / "ladder.json", ladder_json(rungs, settings, widths))
    draw_ladder(rungs, f"{run.name}, {size}x{size}, {search_widths}", run / "ladder.png")
    add_ladder(run, f"elo/{size}x{size}", [(rung.games, rung.elo) for rung in rungs])
    for rung in rungs:
        out.print(
            f"{rung.elo:+7.0f} ± {rung.spread:3.0f} Elo  {rung.games:8d} games "
            f"{rung.samples:9d} samples {rung.evaluations:10d} evaluations {rung.seconds:7.0f} s"
        )
    out.print(f"{run / 'ladder.png'}")


def _opening_cells(openings: str, settings: MatchSettings, device: str) -> tuple[int, ...]:
    """The cells to open with, judged by the shipped network; none where they are just spread."""
    if openings == "spread":
        return ()
    if openings != "fair":
        raise SettingError(f"openings {openings!r} is neither 'spread' nor 'fair'")
    network = load_checkpoint(default_model_path()).network
    judge = ModelInference(network, default_plan(torch.device(device), runtime="eager"))
    return fair_cells(settings.board_size, judge, judge.device)[: settings.games // 2]


def _sprt(text: str) -> Sprt:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"{text!r} is not two Elo leads such as '0,50'") from error
    return Sprt(low, high)
