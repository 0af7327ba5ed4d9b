"""The command that plays games."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import torch
import typer

from hex_ai.cli import options
from hex_ai.cli.output import err, out
from hex_ai.cli.progress import progress_shown
from hex_ai.cli.report import summary_lines
from hex_ai.errors import SettingError
from hex_ai.formats.text import board_text
from hex_ai.game.records import RED, GameRecord
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE
from hex_ai.interrupts import Interrupted
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store.replay import replay
from hex_ai.store.run_folder import require_no_run


def selfplay(
    num_games: Annotated[int, typer.Option(help="games to play")] = 200,
    board_size: options.BoardSize = 11,
    output: Annotated[Path | None, typer.Option("--out", help="folder to store games in")] = None,
    resume: Annotated[bool, typer.Option(help="go on with the run in --out")] = False,
    first_game: Annotated[int, typer.Option(help="id of the first game")] = 0,
    seed: Annotated[int, typer.Option(help="of all draws")] = 0,
    search_widths: options.Widths = "3,2",
    searched: Annotated[
        float, typer.Option(help="share of plies that are searched; else the policy moves")
    ] = 1.0,
    temperature: Annotated[
        float | None,
        typer.Option(help="of the noise on moves; default: 1.0, falling to 0.1 at ply N"),
    ] = None,
    opening: Annotated[str, typer.Option(help="uniform, scattered, policy or empty")] = "uniform",
    swap: Annotated[bool, typer.Option(help="Blue may swap at the second ply")] = True,
    stop: Annotated[
        str, typer.Option(help="end decided games early: proven, resign, or proven,resign")
    ] = "none",
    resign_threshold: Annotated[
        float, typer.Option(help="value at which both sides see the game as decided")
    ] = 0.95,
    resign_played_on: Annotated[
        float, typer.Option(help="share of games in which nobody resigns, to see who was wrong")
    ] = 0.1,
    model: options.Model = None,
    architecture_module: options.ArchitectureModule = None,
    batched_inference: Annotated[
        bool, typer.Option(help="off: ask for one position at a time")
    ] = True,
    games_in_flight: options.GamesInFlight = None,
    num_workers: Annotated[int, typer.Option(help="threads that play")] = 1,
    batch_size: Annotated[
        int, typer.Option(help="rows that start a batch of several workers")
    ] = 1024,
    cache_size: Annotated[int, typer.Option(help="evaluations remembered")] = DEFAULT_CACHE_SIZE,
    actors: options.Actors = None,
    ray: options.Ray = None,
    threads_per_actor: Annotated[int, typer.Option(help="processors that each actor takes")] = 1,
    mixed_hardware: Annotated[
        bool, typer.Option(help="actors may differ in last bits; games say where they come from")
    ] = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    runtime: options.Runtime = "auto",
) -> None:
    """Play games of a network against itself."""
    if output is not None and not resume:
        require_no_run(output)
    has_actors = actors is not None or ray is not None
    if mixed_hardware and not has_actors:
        raise SettingError("--mixed-hardware is for actors: give --actors or --ray as well")
    if has_actors:
        torch.set_num_threads(threads_per_actor)  # the plan's, which actors play under
    engine = SelfPlayEngine(
        model,
        board_size=board_size,
        search_widths=parse_widths(search_widths),
        searched=searched,
        temperature=temperature,
        opening=opening,
        swap=swap,
        stop=() if stop == "none" else tuple(stop.split(",")),
        resign_threshold=resign_threshold,
        resign_played_on=resign_played_on,
        seed=seed,
        use_batched_inference=batched_inference,
        games_in_flight=games_in_flight,
        num_workers=num_workers,
        batch_size=batch_size,
        cache_size=cache_size,
        device=device,
        precision=precision,
        runtime=runtime,
        output_dir=output,
        resume=resume,
    )
    last: GameRecord | None = None
    by_actors: AbstractContextManager[None] = nullcontext()
    if has_actors:
        by_actors = _actors(
            engine,
            actors,
            address=ray,
            model=model,
            architectures=architecture_module,
            games_in_flight=games_in_flight or engine.runner.games_in_flight,
            cache_size=cache_size,
            mixed=mixed_hardware,
        )
    with _stop_told(output), by_actors, progress_shown(engine, err):
        for game in engine.generate_games(num_games, first_game):
            last = game
    if last is not None:
        _print_game(last)
    for line in summary_lines(engine.summary.to_json(), engine.get_performance_stats()):
        out.print(line)
    if output is not None:
        out.print(f"look at them in a browser: hex-ai serve --runs {quote(str(output))}")
    elif engine.summary.games:
        out.print("play against it in a browser: hex-ai serve")


def _actors(
    engine: SelfPlayEngine, actors: str | None, **given: Any
) -> AbstractContextManager[None]:
    """See `played_by_actors`. Raises `SettingError` if Ray is not installed."""
    count = options.count_of_actors(actors)
    from hex_ai.scale.engine import played_by_actors

    return played_by_actors(engine, count, **given)


@contextmanager
def _stop_told(folder: Path | None) -> Iterator[None]:
    """Says what is left where a signal stops the play."""
    try:
        yield
    except Interrupted:
        kept = f"; what was finished is in {folder}, --resume goes on with it" if folder else ""
        err.print(f"stopped{kept}")
        raise


def _print_game(game: GameRecord) -> None:
    """Prints the last board of a game."""
    moves = [int(move) for move in game.moves]
    out.print(board_text(replay(game.board_size, moves)[-1], moves[-1]))
    winner = "Red" if game.winner == RED else "Blue"
    out.print(f"game {game.game_id}: {len(moves)} plies, won by {winner} ({game.end})")
