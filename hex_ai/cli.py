"""The `hex-ai` command. Exit statuses are listed in docs/exit-status.md."""

import io
import math
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from hex_ai import __version__
from hex_ai.bench import MODES, BenchSettings, run_bench
from hex_ai.bench_plots import draw_bench, require_plots
from hex_ai.board_svg import board_svg
from hex_ai.board_text import board_text
from hex_ai.errors import HexAIError, RecordError, SettingError, StoreError
from hex_ai.formats.games import FORMATS, position_at, store_lines, written_games
from hex_ai.htp.command import htp
from hex_ai.inference.checkpoint import load_checkpoint, save_checkpoint
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.inference.foreign_weights import import_weights
from hex_ai.inference.inference_plan import resolve_device
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE
from hex_ai.inference.network import HexNetwork, NetworkConfig
from hex_ai.inference.tuning import plan_for, remember, tune
from hex_ai.interrupts import Interrupted, interrupts_raised
from hex_ai.learning_commands import ladder, learn, match, train
from hex_ai.progress import progress_shown
from hex_ai.report_text import bench_lines, bench_table, summary_lines
from hex_ai.selfplay.game_store import (
    read_run,
    read_shard,
    read_summary,
    shard_paths,
    write_json,
    write_text,
)
from hex_ai.selfplay.lane import SelfPlaySettings
from hex_ai.selfplay.records import RED, GameRecord
from hex_ai.selfplay.replay import find_faults, replay
from hex_ai.selfplay.selfplay_engine import (
    DEFAULT_GAMES_IN_FLIGHT,
    SelfPlayEngine,
    default_model_path,
)
from hex_ai.selfplay.stopping import RESIGN
from hex_ai.selfplay.summary import RunSummary

# Numbers of games in flight to draw a curve of games a second through.
PLOTTED_FLIGHTS = {"cpu": (1, 4, 16, 64, 256), "cuda": (16, 128, 1024, 4096, 16384)}

app = typer.Typer(
    name="hex-ai",
    help="Self-play games of Hex, made fast.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _Output(Console):
    """Standard output for what is formatted."""

    def on_broken_pipe(self) -> None:
        raise _OutputLost(BrokenPipeError())


# A table needs its width also where nobody tells how wide the terminal is.
out = _Output(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 100)
err = Console(stderr=True, highlight=False)

Folder = Annotated[Path, typer.Argument(help="folder of a self-play run")]


def main() -> None:
    """Runs the command; every error is one line on standard error and a status that is not 0."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs shows others
    sys.exit(run_safely(lambda: app(standalone_mode=False)))


def run_safely(command: Callable[[], Any]) -> int:
    """Runs a command, reports what stops it, and returns the exit status."""
    try:
        with interrupts_raised():
            status = command()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except HexAIError as error:
        return _complain(error, error.exit_status)
    except Interrupted as interrupt:
        return interrupt.exit_status
    except _OutputLost as error:
        return _give_up_output(error.cause)
    except OSError as error:
        return _give_up_output(error)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        return _complain(usage(), SettingError.exit_status)


class _OutputLost(Exception):
    """Standard output cannot be written. Not an `OSError`, which typer would deal with itself."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _ignore(_: str) -> None:
    pass


def _say(line: str) -> None:
    """Prints a line of a result that may be long, and be piped."""
    try:
        print(line)
    except OSError as error:
        raise _OutputLost(error) from error


def _give_up_output(error: OSError) -> int:
    """Nothing more can be said on standard output; that a reader has had enough is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    return _complain(f"{error.filename or 'output'}: {error.strerror}", StoreError.exit_status)


def _complain(error: object, status: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


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
    """Self-play games of Hex, made fast."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def selfplay(
    num_games: Annotated[int, typer.Option(help="games to play")] = 200,
    board_size: Annotated[int, typer.Option(help="3 to 19")] = 11,
    output: Annotated[Path | None, typer.Option("--out", help="folder to store games in")] = None,
    resume: Annotated[bool, typer.Option(help="go on with the run in --out")] = False,
    first_game: Annotated[int, typer.Option(help="id of the first game")] = 0,
    seed: Annotated[int, typer.Option(help="of all draws")] = 0,
    search_widths: Annotated[str, typer.Option(help="children kept at each level")] = "3,2",
    temperature: Annotated[
        float | None, typer.Option(help="at every ply; default: 1.0 falling to 0.1")
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
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")] = None,
    batched_inference: Annotated[
        bool, typer.Option(help="off: ask for one position at a time")
    ] = True,
    games_in_flight: Annotated[
        int | None, typer.Option(help="games that share batches; default: by device")
    ] = None,
    num_workers: Annotated[int, typer.Option(help="threads that play")] = 1,
    batch_size: Annotated[int, typer.Option(help="rows that start a batch of several workers")] = (
        1024
    ),
    cache_size: Annotated[int, typer.Option(help="evaluations remembered")] = DEFAULT_CACHE_SIZE,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
    runtime: Annotated[str, typer.Option(help="auto, eager or compiled")] = "auto",
) -> None:
    """Play games of a network against itself."""
    engine = SelfPlayEngine(
        model,
        board_size=board_size,
        search_widths=parse_widths(search_widths),
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
    play_and_report(engine, num_games, first_game)


def play_and_report(engine: SelfPlayEngine, num_games: int, first_game: int = 0) -> None:
    """Plays games with a display of the progress, and prints and stores a summary at the end."""
    settings, last = engine.settings, None
    resigns = RESIGN in settings.stop
    summary = RunSummary(resign_threshold=settings.resign_threshold if resigns else None)
    folder = engine.output_dir
    for game in engine.stored_games():
        summary.add(game)
    try:
        with progress_shown(engine, num_games - summary.games, err):
            for game in engine.generate_games(num_games, first_game):
                summary.add(game)
                last = game
    except Interrupted:
        kept = f"; what was finished is in {folder}, --resume goes on with it" if folder else ""
        err.print(f"stopped{kept}", soft_wrap=True)
        raise
    report: dict[str, Any] = {"first_game": first_game, "num_games": num_games}
    games, stats = summary.to_json(), engine.get_performance_stats()
    if folder is not None:
        write_json(folder / "summary.json", report | {"games": games, "performance": stats})
    if last is not None:
        print_game(last)
    for line in summary_lines(games, stats):
        out.print(line)


def print_game(game: GameRecord) -> None:
    """Prints the last board of a game."""
    moves = [int(move) for move in game.moves]
    out.print(board_text(replay(game.board_size, moves)[-1], moves[-1]))
    winner = "Red" if game.winner == RED else "Blue"
    out.print(f"game {game.game_id}: {len(moves)} plies, won by {winner} ({game.end})")


@app.command()
def show(
    source: Annotated[
        str, typer.Argument(help="folder of a run, TRMPH line, HexWorld link, or SGF file")
    ],
    game: Annotated[int, typer.Option(help="id of the game in the folder or file")] = 0,
    ply: Annotated[int | None, typer.Option(help="plies to play; default: all")] = None,
    svg: Annotated[Path | None, typer.Option(help="draw it into this file instead")] = None,
) -> None:
    """Show a game's board."""
    position, last, caption = position_at(source, game, ply)
    if svg is not None:
        write_text(svg, board_svg(position, last))
        return
    out.print(board_text(position, last))
    out.print(caption)


@app.command()
def export(
    folder: Folder,
    to: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "trmph",
    output: Annotated[
        Path | None, typer.Option("--out", help="folder to write a file a game into instead")
    ] = None,
) -> None:
    """Print the games of a run, one a line, in game-id order."""
    lines = written_games(folder, to)
    if output is not None:
        store_lines(lines, output, to)
        return
    for _, line in lines:
        _say(line)


@app.command()
def verify(folder: Folder) -> None:
    """Play every stored game again and check records, ids, winners and digests."""
    run = read_run(folder)
    if run is None:
        raise StoreError(f"{folder}: holds no run")
    faults, seen = [], set[int]()
    for path in shard_paths(folder):
        games = read_shard(path)
        faults += find_faults(games)
        for game in games:
            if game.game_id in seen:
                faults.append(f"game {game.game_id}: stored twice")
            if game.network != run["network"].get("digest"):
                faults.append(f"game {game.game_id}: played by another network")
            if game.board_size != run["settings"].get("board_size"):
                faults.append(f"game {game.game_id}: of another board size")
            seen.add(game.game_id)
    summary = read_summary(folder)
    if summary is not None:
        wanted = range(summary["first_game"], summary["first_game"] + summary["num_games"])
        faults += [f"game {game_id}: missing" for game_id in wanted if game_id not in seen]
        faults += [f"game {game_id}: not asked for" for game_id in seen if game_id not in wanted]
    for fault in faults[:20]:
        _say(fault)
    if faults:
        raise RecordError(f"{folder}: {len(faults)} faults in {len(seen)} games")
    state = "complete" if summary else "not finished yet"
    _say(f"{len(seen)} games, no faults, {state}")


@app.command()
def bench(
    board_size: Annotated[int, typer.Option(help="3 to 19")] = 11,
    search_widths: Annotated[str, typer.Option(help="children kept at each level")] = "3,2",
    modes: Annotated[str, typer.Option(help="which, with commas between")] = ",".join(MODES),
    seconds: Annotated[float, typer.Option(help="of each mode and repeat")] = 10.0,
    repeats: Annotated[int, typer.Option(help="rounds; medians are reported")] = 1,
    games_in_flight: Annotated[int | None, typer.Option(help="default: by device")] = None,
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")] = None,
    channels: Annotated[int | None, typer.Option(help="of a random network instead")] = None,
    blocks: Annotated[int | None, typer.Option(help="of a random network instead")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
    runtime: Annotated[str, typer.Option(help="auto, eager or compiled")] = "auto",
    seed: Annotated[int, typer.Option(help="of games and weights")] = 0,
    finite: Annotated[
        bool, typer.Option(help="play games from first to last as well, four times those in flight")
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="file to write")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder to draw pictures in (PNG)")] = None,
) -> None:
    """Measure every way to evaluate, beside the bare network."""
    if model is not None and (channels is not None or blocks is not None):
        raise SettingError("--model and --channels/--blocks exclude each other")
    place = resolve_device(device)
    if games_in_flight is None:
        games_in_flight = DEFAULT_GAMES_IN_FLIGHT[place.type]
    settings = BenchSettings(
        board_size=board_size,
        search_widths=parse_widths(search_widths),
        seed=seed,
        modes=tuple(modes.split(",")),
        seconds=seconds,
        repeats=repeats,
        games_in_flight=games_in_flight,
        finite=finite,
        flights=PLOTTED_FLIGHTS[place.type] if plot else (),
    )
    if plot is not None:
        require_plots(plot)
    if channels is None and blocks is None:
        network = load_checkpoint(model or default_model_path()).network
    else:
        torch.manual_seed(seed)
        network = HexNetwork(NetworkConfig(channels or 64, blocks or 6))
    plan = plan_for(network, device, runtime, precision)
    with err.status("") if err.is_terminal else nullcontext() as status:
        report = run_bench(network, plan, settings, status.update if status else _ignore)
    if json_file is not None:
        write_json(json_file, report)
    out.print(bench_table(report))
    for line in bench_lines(report):
        out.print(line)
    if plot is not None:
        for path in draw_bench(report, plot):
            _say(str(path))


@app.command("tune")
def tune_(
    model: Annotated[Path | None, typer.Option(help="checkpoint; default: the shipped one")] = None,
    board_size: Annotated[int, typer.Option(help="3 to 19")] = 11,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    seconds: Annotated[float, typer.Option(help="of each measurement")] = 1.0,
) -> None:
    """Measure how this machine runs a network best, and remember it for runs to come."""
    if not 0 < seconds < math.inf:
        raise SettingError(f"seconds {seconds} is not a positive number")
    SelfPlaySettings(board_size)
    place = resolve_device(device)
    network = load_checkpoint(model or default_model_path()).network
    with err.status("") if err.is_terminal else nullcontext() as status:
        tuned = tune(network, place, board_size, seconds, status.update if status else _ignore)
    for way, rates in tuned.rates.items():
        sizes = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
        _say(f"{' '.join(way)}, rows/s by batch size: {sizes}")
    plan = tuned.plan
    shapes = ", ".join(map(str, plan.shapes))
    _say(f"best: {plan.runtime} {plan.precision}, batches of {shapes}")
    _say(f"remembered in {remember(network, place, tuned)}")


@app.command("import")
def import_(
    old: Annotated[Path, typer.Argument(help="weights saved elsewhere with torch.save")],
    output: Annotated[Path, typer.Option("--out", help="checkpoint to write, .pt.gz")],
    architecture: Annotated[str, typer.Option(help="what they are weights of")] = "resnet18",
) -> None:
    """Turn other people's weights into a checkpoint."""
    digest = save_checkpoint(output, import_weights(old, architecture), {"imported": old.name})
    print(f"{output}: {architecture} {digest[:16]}")


for command in (learn, train, match, ladder, htp):
    app.command()(command)
