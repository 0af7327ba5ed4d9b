"""The commands that measure speed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from hex_ai.bench.measure import run_bench
from hex_ai.bench.modes import MODES, BenchSettings
from hex_ai.cli import options
from hex_ai.cli.output import err, out
from hex_ai.cli.report import bench_lines, bench_table
from hex_ai.errors import SettingError
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.inference.inference_plan import resolve_device
from hex_ai.inference.tuning import plan_for_games, remember, tune
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.output_files import require_writable, write_json


def bench(
    board_size: options.BoardSize = 11,
    search_widths: options.Widths = "3,2",
    modes: Annotated[str, typer.Option(help="which, with commas between")] = ",".join(MODES),
    seconds: Annotated[float, typer.Option(help="of each mode and repeat")] = 10.0,
    repeats: Annotated[int, typer.Option(help="rounds; medians are reported")] = 1,
    games_in_flight: options.GamesInFlight = None,
    model: options.Model = None,
    architecture_module: options.ArchitectureModule = None,
    channels: Annotated[int | None, typer.Option(help="of a random network instead")] = None,
    blocks: Annotated[int | None, typer.Option(help="of a random network instead")] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    runtime: options.Runtime = "auto",
    seed: Annotated[int, typer.Option(help="of games and weights")] = 0,
    finite: Annotated[
        bool, typer.Option(help="play games from first to last as well, four times those in flight")
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="file to write")] = None,
) -> None:
    """Measure every mode of play, beside the bare network."""
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
    )
    if json_file is not None:
        require_writable(json_file)
    if channels is None and blocks is None:
        network = load_checkpoint(model or default_model_path()).network
    else:
        torch.manual_seed(seed)
        shape: dict[str, Any] = {"channels": channels, "blocks": blocks}
        network = HexNetwork(NetworkConfig(**{k: v for k, v in shape.items() if v is not None}))
    plan = plan_for_games(network, device, runtime, precision)
    with _status_shown() as tell:
        report = run_bench(network, plan, settings, tell)
    out.print(bench_table(report))
    for line in bench_lines(report):
        out.print(line)
    if json_file is not None:
        write_json(json_file, report)


def tune_(
    model: options.Model = None,
    architecture_module: options.ArchitectureModule = None,
    board_size: options.BoardSize = 11,
    device: options.Device = "auto",
    seconds: Annotated[float, typer.Option(help="of each measurement")] = 1.0,
) -> None:
    """Measure how this machine runs a network best, and remember it."""
    if not 0 < seconds < math.inf:
        raise SettingError(f"seconds {seconds} is not a positive number")
    SelfPlaySettings(board_size)
    place = resolve_device(device)
    network = load_checkpoint(model or default_model_path()).network
    with _status_shown() as tell:
        tuned = tune(network, place, board_size, seconds, tell)
    for plan_name, rates in tuned.rates.items():
        sizes = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
        print(f"{' '.join(plan_name)}, rows/s by batch size: {sizes}")
    plan = tuned.plan
    shapes = ", ".join(map(str, plan.shapes))
    print(f"best: {plan.runtime} {plan.precision}, batches of {shapes}")
    print(f"remembered in {remember(network, place, tuned)}")


@contextmanager
def _status_shown() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being measured, where standard error is a terminal."""
    if err.is_terminal:
        with err.status("") as status:
            yield status.update
    else:
        yield lambda _: None
