"""The ladder of a run of learning: its checkpoints rated by matches against their neighbours."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hex_ai.arena.match import MatchSettings, Score, play_match
from hex_ai.arena.players import NetworkPlayer, Way
from hex_ai.arena.rating import fit_ratings
from hex_ai.errors import SettingError, StoreError
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.training.learn_folder import checkpoint_paths, games_of_checkpoint, read_notes

# Each checkpoint meets so many of those before it.
NEIGHBOURS = 2


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


def rate_run(
    folder: Path,
    settings: MatchSettings,
    widths: tuple[int, ...],
    most: int,
    device: str,
    tell: Callable[[str], None],
) -> list[Rung]:
    """Lets the checkpoints of a run play, and rates them.

    Args:
      folder: of the run.
      settings: of each match.
      widths: of the search of all players; none: the policy alone.
      most: checkpoints to rate, evenly chosen by their place, the first and last among them.
      device: of the networks.
      tell: is told of each match played.

    Raises:
      StoreError: no run there, or fewer than two checkpoints.
    """
    notes = read_notes(folder)
    if notes is None:
        raise StoreError(f"{folder}: holds no run of learning")
    if most < 2:
        raise SettingError(f"{most} checkpoints make no ladder")
    paths = _thinned(checkpoint_paths(folder), most)
    if len(paths) < 2:
        raise StoreError(f"{folder}: holds fewer than two checkpoints")
    scores = {}
    for k in range(1, len(paths)):
        for before in range(max(0, k - NEIGHBOURS), k):
            score = _play(paths[k], paths[before], settings, widths, device)
            share = score.wins / len(score.games)
            # Games that are the same tell no more than one of them.
            scores[k, before] = (share * score.distinct, (1 - share) * score.distinct)
            tell(f"{paths[k].name} against {paths[before].name}: {score.line()}")
    spent = {row["games"]: row for row in notes["rounds"]}
    ratings = fit_ratings(scores, len(paths))
    return [_rung(path, *rating, spent) for path, rating in zip(paths, ratings, strict=True)]


def draw_ladder(rungs: list[Rung], title: str, path: Path) -> None:
    """Draws Elo over games, samples and evaluations into a PNG.

    Raises:
      StoreError: the file cannot be written.
    """
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


def ladder_json(rungs: list[Rung], settings: MatchSettings, widths: tuple[int, ...]) -> Any:
    """The ladder as plain numbers."""
    return {
        "board_size": settings.board_size,
        "search_widths": list(widths),
        "games_per_match": settings.games,
        "rungs": [asdict(rung) for rung in rungs],
    }


def _play(
    one: Path, other: Path, settings: MatchSettings, widths: tuple[int, ...], device: str
) -> Score:
    def player(path: Path) -> NetworkPlayer:
        return NetworkPlayer(path.name, load_checkpoint(path).network, Way(widths), device=device)

    with closing(player(one)) as first, closing(player(other)) as second:
        return play_match(first, second, settings)


def _rung(path: Path, elo: float, spread: float, spent: dict[int, dict[str, Any]]) -> Rung:
    games = games_of_checkpoint(path)
    row = spent.get(games, {"samples": 0, "evaluations": 0, "seconds": 0.0})
    return Rung(path.name, elo, spread, games, row["samples"], row["evaluations"], row["seconds"])


def _thinned(paths: list[Path], most: int) -> list[Path]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(paths) <= most:
        return paths
    return [paths[round(k * (len(paths) - 1) / (most - 1))] for k in range(most)]
