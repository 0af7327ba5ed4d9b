"""The ladder of a run of learning: its checkpoints rated by matches against their neighbours."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hex_ai.arena.match import match
from hex_ai.arena.players import NetworkPlayer, Strategy
from hex_ai.arena.rating import fit_ratings
from hex_ai.errors import SettingError, StoreError
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.inference_plan import resolve_device
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.store.run_folder import write_json
from hex_ai.training.curves import add_ladder
from hex_ai.training.learn_folder import checkpoint_paths, games_of_checkpoint, read_notes

# Each checkpoint meets so many of those before it.
OPPONENTS = 2


@dataclass(frozen=True)
class Rung:
    """One checkpoint: its rating with half the width of its 95 % interval, the first one's being 0,
    and what had been spent when it was written."""

    checkpoint: str
    elo: float
    spread: float
    games: int
    samples: int
    evaluations: int
    seconds: float


def ladder(
    run: Path | str,
    *,
    board_size: int | None = None,
    games: int = 100,
    search_widths: tuple[int, ...] = (3, 2),
    checkpoints: int = 12,
    seed: int = 0,
    device: str = "auto",
    report: Callable[[str], None] = lambda _: None,
) -> list[Rung]:
    """Rates the checkpoints of a run by matches, and writes `ladder.json`, `ladder.png` and a curve
    for TensorBoard into its folder.

    Args:
      run: folder of a run of learning.
      board_size: N; None: the run's largest.
      games: of each match, an even number.
      search_widths: of the search of all players; none: the policy alone.
      checkpoints: to rate at most, evenly spread, the first and last among them.
      seed: of the openings.
      device: of the networks: `auto`, `cpu` or `cuda`.
      report: is told of each match played, in one line.

    Raises:
      StoreError: no run there, fewer than two checkpoints, or a file that cannot be written.
      SettingError: an invalid setting, or matplotlib is not installed.
    """
    run = Path(run)
    notes, paths = _checkpoints(run, checkpoints)
    require_plots(run)
    size = max(notes["settings"]["board_sizes"]) if board_size is None else board_size
    strategy = Strategy(check_widths(search_widths) if search_widths else ())
    place = resolve_device(device)
    scores = {}
    for k, before in _pairs(len(paths)):
        one, other = (
            NetworkPlayer(path.name, load_checkpoint(path).network, strategy, device=place)
            for path in (paths[k], paths[before])
        )
        score = match(one, other, board_size=size, games=games, seed=seed)
        share = score.wins / len(score.games)
        # Equal games tell no more than one of them.
        scores[k, before] = (share * score.distinct, (1 - share) * score.distinct)
        report(f"{one.name} against {other.name}: {score.line()}")
    spent = {row["games"]: row for row in notes["rounds"]}
    ratings = fit_ratings(scores, len(paths))
    rungs = [_rung(path, *rating, spent) for path, rating in zip(paths, ratings, strict=True)]
    kind = {"board_size": size, "search_widths": search_widths, "games_per_match": games}
    write_json(run / "ladder.json", kind | {"rungs": [asdict(rung) for rung in rungs]})
    shown_widths = ",".join(map(str, search_widths)) or "policy"
    _draw(rungs, f"{run.name}, {size}x{size}, {shown_widths}", run / "ladder.png")
    add_ladder(run, f"elo/{size}x{size}", [(rung.games, rung.elo) for rung in rungs])
    return rungs


def require_plots(folder: Path) -> None:
    """Raises an error now, rather than after hours of play, if no picture can be drawn.

    Raises:
      SettingError: matplotlib is not installed.
      StoreError: no file can be made in the folder.
    """
    if find_spec("matplotlib") is None:
        raise SettingError("drawing wants matplotlib: install it, or hex_ai with its extra [plots]")
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error


def _checkpoints(run: Path, most: int) -> tuple[dict[str, Any], list[Path]]:
    """What the run says about itself, and its checkpoints: at most so many, evenly spread, the
    first and the last among them."""
    notes = read_notes(run)
    if notes is None:
        raise StoreError(f"{run}: holds no run of learning")
    if most < 2:
        raise SettingError(f"{most} checkpoints make no ladder")
    paths = checkpoint_paths(run)
    if len(paths) < 2:
        raise StoreError(f"{run}: holds fewer than two checkpoints")
    if len(paths) > most:
        paths = [paths[round(k * (len(paths) - 1) / (most - 1))] for k in range(most)]
    return notes, paths


def _pairs(count: int) -> list[tuple[int, int]]:
    """Which of so many checkpoints meet: each the `OPPONENTS` before it."""
    return [(k, before) for k in range(count) for before in range(max(0, k - OPPONENTS), k)]


def _draw(rungs: list[Rung], title: str, path: Path) -> None:
    """Draws Elo over games, samples and evaluations into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, what in zip(panels, ("games", "samples", "evaluations"), strict=True):
        panel.errorbar(
            [getattr(rung, what) for rung in rungs],
            [rung.elo for rung in rungs],
            [rung.spread for rung in rungs],
            marker="o",
            capsize=3,
        )
        panel.set_xlabel(what)
        panel.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("Elo above the first network")
    figure.suptitle(title)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _rung(path: Path, elo: float, spread: float, spent: dict[int, dict[str, Any]]) -> Rung:
    games = games_of_checkpoint(path)
    row = spent.get(games, {"samples": 0, "evaluations": 0, "seconds": 0.0})
    return Rung(path.name, elo, spread, games, row["samples"], row["evaluations"], row["seconds"])
