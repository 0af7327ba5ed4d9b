"""The commands that measure speed."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
import typer

from hex_ai.bench.modes import MODES, BenchSettings
from hex_ai.bench.plots import draw_bench, require_plots
from hex_ai.bench.report import run_bench
from hex_ai.cli.output import err, ignore, out, say
from hex_ai.cli.report import bench_lines, bench_table
from hex_ai.errors import SettingError
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.inference.inference_plan import resolve_device
from hex_ai.inference.tuning import plan_for, remember, tune
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.run_folder import require_writable, write_json

# Numbers of games in flight to draw a curve of games a second through.
PLOTTED_FLIGHTS = {"cpu": (1, 4, 16, 64, 256), "cuda": (16, 128, 1024, 4096, 16384)}


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
    runtime: Annotated[str, typer.Option(help="auto, eager, graph or compiled")] = "auto",
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
    if json_file is not None:
        require_writable(json_file)
    if channels is None and blocks is None:
        network = load_checkpoint(model or default_model_path()).network
    else:
        torch.manual_seed(seed)
        shape = {"channels": channels, "blocks": blocks}
        network = HexNetwork(NetworkConfig(**{k: v for k, v in shape.items() if v is not None}))
    plan = plan_for(network, device, runtime, precision)
    with err.status("") if err.is_terminal else nullcontext() as status:
        report = run_bench(network, plan, settings, status.update if status else ignore)
    out.print(bench_table(report))
    for line in bench_lines(report):
        out.print(line)
    if json_file is not None:
        write_json(json_file, report)
    if plot is not None:
        for path in draw_bench(report, plot):
            say(str(path))


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
        tuned = tune(network, place, board_size, seconds, status.update if status else ignore)
    for way, rates in tuned.rates.items():
        sizes = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
        say(f"{' '.join(way)}, rows/s by batch size: {sizes}")
    plan = tuned.plan
    shapes = ", ".join(map(str, plan.shapes))
    say(f"best: {plan.runtime} {plan.precision}, batches of {shapes}")
    say(f"remembered in {remember(network, place, tuned)}")
