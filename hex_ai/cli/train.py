"""The commands that learn, and that measure strength."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from hex_ai.cli import options
from hex_ai.cli.options import ArchitectureModule, Device, count_of_actors
from hex_ai.cli.output import err, out
from hex_ai.errors import SettingError
from hex_ai.inference.fixed_tree_search import parse_widths
from hex_ai.interrupts import Interrupted
from hex_ai.network.checkpoint import save_checkpoint
from hex_ai.network.import_weights import import_weights
from hex_ai.training.fitting import MEASURED_EVERY, FitReport
from hex_ai.training.fitting import train as fit
from hex_ai.training.learn import learn as run_learning
from hex_ai.training.learner import Round
from hex_ai.training.round_player import Players
from hex_ai.training.schedule import LearnSettings
from hex_ai.training.start import NEW_NETWORK

DEFAULTS = LearnSettings()

BOARD_SIZES = f"ascending; default: {','.join(map(str, DEFAULTS.board_sizes))}"
INIT = "checkpoint to start from, or 'shipped'"
SEARCHED = "share of plies that are searched; default: by board size"
GAMES_PER_ROUND = f"played before the next weights are learnt; default: {DEFAULTS.games_per_round}"
REUSE = f"times a sample is learnt from; default: {DEFAULTS.reuse:g}"
BATCH = f"samples a step; default: {DEFAULTS.batch}"
LEARNING_RATE = f"at the start; default: {DEFAULTS.learning_rate:g}"
CHANNELS = f"of a new network; default: {NEW_NETWORK.channels}"
OVERLAP = "play a round while the one before is learnt from; default: no"
BLOCKS = f"of a new network; default: {NEW_NETWORK.blocks}"


def learn(
    output: Annotated[Path, typer.Option("--out", help="folder of the run")],
    board_sizes: Annotated[str | None, typer.Option(help=BOARD_SIZES)] = None,
    hours: Annotated[float | None, typer.Option(help="of the whole run; default: 1")] = None,
    games: Annotated[int | None, typer.Option(help="of the whole run, at most")] = None,
    resume: Annotated[
        bool, typer.Option(help="go on with the run in --out, with its settings and its length")
    ] = False,
    init: Annotated[Path | None, typer.Option(help=INIT)] = None,
    search_widths: Annotated[
        str | None, typer.Option(help="of the self-play search; default: by board size")
    ] = None,
    searched: Annotated[float | None, typer.Option(help=SEARCHED)] = None,
    channels: Annotated[int | None, typer.Option(help=CHANNELS)] = None,
    blocks: Annotated[int | None, typer.Option(help=BLOCKS)] = None,
    games_per_round: Annotated[int | None, typer.Option(help=GAMES_PER_ROUND)] = None,
    reuse: Annotated[float | None, typer.Option(help=REUSE)] = None,
    batch: Annotated[int | None, typer.Option(help=BATCH)] = None,
    learning_rate: Annotated[float | None, typer.Option(help=LEARNING_RATE)] = None,
    seed: Annotated[int | None, typer.Option(help="of all draws; default: 0")] = None,
    games_in_flight: Annotated[
        int | None, typer.Option(help="games that share batches; default: by device")
    ] = None,
    overlap: Annotated[bool | None, typer.Option(help=OVERLAP)] = None,
    actors: options.Actors = None,
    ray: options.Ray = None,
    device: Device = "auto",
    architecture_module: ArchitectureModule = None,
) -> None:
    """Learn by self-play, from nothing or from a checkpoint."""
    by_actors: AbstractContextManager[Players | None] = nullcontext()
    if actors is not None or ray is not None:
        by_actors = _actors(actors, ray, architecture_module)

    def report(done: Round, share: float) -> None:
        err.print(_round_line(done))
        status.update(f"{share:.0%} of the run, {done.games} games")

    try:
        with by_actors as players, err.status("playing") as status:
            learnt = run_learning(
                output,
                board_sizes=None if board_sizes is None else numbers(board_sizes),
                hours=hours,
                games=games,
                resume=resume,
                init=init,
                search_widths=None if search_widths is None else parse_widths(search_widths),
                searched=searched,
                channels=channels,
                blocks=blocks,
                games_per_round=games_per_round,
                reuse=reuse,
                batch=batch,
                learning_rate=learning_rate,
                seed=seed,
                overlap=overlap,
                games_in_flight=games_in_flight,
                device=device,
                players=players,
                report=report,
            )
    except Interrupted:
        err.print(f"stopped; --resume goes on with {output}")
        raise
    out.print(f"{learnt.games} games; the network is {learnt.network}")


def _actors(
    actors: str | None, address: str | None, architectures: Path | None
) -> AbstractContextManager[Players]:
    """Actors that play the rounds. Raises `SettingError` if Ray is not installed."""
    count = count_of_actors(actors)
    from hex_ai.scale.engine import rounds_by_actors

    return rounds_by_actors(count, address=address, architectures=architectures)


def _round_line(done: Round) -> str:
    return (
        f"round {done.number:4d} {done.board_size:2d}x{done.board_size:<2d} {done.games:7d} games "
        f"of {done.mean_length:5.1f} plies  policy {done.policy_loss:.3f} "
        f"value {done.value_loss:.3f} agree {done.agreement:.0%}  "
        f"{done.play_seconds:.1f} + {done.learn_seconds:.1f} s, {done.seconds:.0f} s in all"
    )


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from `3,2`. Raises `SettingError` for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"{text!r} is not a list of numbers such as '3,2'") from error


def train(
    folders: Annotated[list[Path], typer.Argument(help="folders of self-play games")],
    output: Annotated[Path, typer.Option("--out", help="checkpoint to write, .safetensors")],
    init: Annotated[Path | None, typer.Option(help=INIT)] = None,
    channels: Annotated[int | None, typer.Option(help=CHANNELS)] = None,
    blocks: Annotated[int | None, typer.Option(help=BLOCKS)] = None,
    passes: Annotated[float, typer.Option(help="times every sample is learnt from")] = 2.0,
    batch: Annotated[int, typer.Option(help="samples a step")] = 256,
    learning_rate: Annotated[float, typer.Option(help="at the start")] = 2e-3,
    seed: Annotated[int, typer.Option(help="of weights and batches")] = 0,
    device: Device = "auto",
    architecture_module: ArchitectureModule = None,
) -> None:
    """Train a network on stored games alone."""
    fit(
        folders,
        output,
        init=init,
        channels=channels,
        blocks=blocks,
        passes=passes,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        report=lambda done: err.print(_fit_line(done)),
    )
    out.print(f"{output}")


def _fit_line(report: FitReport) -> str:
    learnt, measured = report.learnt, report.measured
    step = (
        f"step {report.step} of {report.steps}  policy {learnt.policy:.3f} value {learnt.value:.3f}"
    )
    if measured is None:
        return f"{step}  no game is kept apart to measure on: one in {MEASURED_EVERY} is"
    calibrated = "" if report.factor is None else f"  log odds times {report.factor:.2f}"
    return (
        f"{step}  on other games: policy {measured.policy:.3f} value {measured.value:.3f}"
        f"{calibrated}"
    )


def import_(
    old: Annotated[Path, typer.Argument(help="weights saved elsewhere with torch.save")],
    output: Annotated[Path, typer.Option("--out", help="checkpoint to write, .safetensors")],
    architecture: Annotated[str, typer.Option(help="what they are weights of")] = "resnet18",
    architecture_module: ArchitectureModule = None,
) -> None:
    """Turn other people's weights into a checkpoint."""
    network = import_weights(old, architecture)
    digest = save_checkpoint(output, network, {"imported": old.name})
    out.print(f"{output}: {architecture} {digest[:16]}")
    out.print(getattr(network, "value_source", "its values are taken for the mover's as they are"))
