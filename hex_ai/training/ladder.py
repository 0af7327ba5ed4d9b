"""The ladder of a run of learning: its checkpoints rated by matches against their neighbours, and
against players from outside."""

from collections.abc import Callable, Sequence
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
from hex_ai.numbers import whole
from hex_ai.store.output_files import write_json
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


@dataclass(frozen=True)
class Outsider:
    """A player that is no checkpoint of the run, rated on the same scale."""

    name: str
    elo: float
    spread: float


@dataclass(frozen=True)
class Ladder:
    """The checkpoints, the earliest first, and whoever they met from outside."""

    rungs: list[Rung]
    outsiders: list[Outsider]


def ladder(
    run: Path | str,
    *,
    board_size: int | None = None,
    games: int | None = None,
    search_widths: tuple[int, ...] = (3, 2),
    checkpoints: int = 12,
    opponents: Sequence[str] = (),
    openings: str = "spread",
    seed: int = 0,
    device: str = "auto",
    report: Callable[[str], None] = lambda _: None,
) -> Ladder:
    """Rates the checkpoints of a run by matches, and writes `ladder.json`, `ladder.png` and a curve
    for TensorBoard into its folder.

    Each checkpoint meets the two before it and every opponent.

    Args:
      run: folder of a run of learning.
      board_size: N; None: the run's largest.
      games: of each match, an even number; None: 100, or two of each opening of a suite.
      search_widths: of the search of all players; none: the policy alone.
      checkpoints: to rate at most, evenly spread, the first and last among them.
      opponents: players from outside, by the names that matches give them.
      openings: of the matches, see `hex_ai.arena.match.match`.
      seed: of the openings.
      device: of the networks: `auto`, `cpu` or `cuda`.
      report: is told of each match played, in one line.

    Raises:
      StoreError: no run there, fewer than two checkpoints, or a file that cannot be written.
      SettingError: an invalid setting, or matplotlib is not installed.
    """
    run = Path(run)
    notes, paths = _checkpoints(run, whole("checkpoints", checkpoints))
    require_plots(run)
    sizes = notes["settings"]["board_sizes"]
    size = max(sizes) if board_size is None else whole("board size", board_size)
    games = None if games is None else whole("games", games)
    search_widths = check_widths(search_widths) if len(search_widths) else ()
    strategy = Strategy(search_widths)
    place = resolve_device(device)
    if games is None and openings in ("spread", "fair"):
        games = 100

    def player(number: int) -> NetworkPlayer | str:
        if number >= len(paths):
            return opponents[number - len(paths)]
        network = load_checkpoint(paths[number]).network
        return NetworkPlayer(paths[number].name, network, strategy, device=place)

    scores = {}
    for pair in _pairs(len(paths), len(opponents)):
        one, other = map(player, pair)
        score = match(
            one, other, board_size=size, games=games, openings=openings, seed=seed, device=device
        )
        share = score.wins / len(score.games)
        # Equal games tell no more than one of them.
        scores[pair] = (share * score.distinct, (1 - share) * score.distinct)
        names = (it if isinstance(it, str) else it.name for it in (one, other))
        report(f"{' against '.join(names)}: {score.line()}")
    spent = {row["games"]: row for row in notes["rounds"]}
    ratings = fit_ratings(scores, len(paths) + len(opponents))
    rungs = [_rung(path, *rating, spent) for path, rating in zip(paths, ratings, strict=False)]
    known = ratings[len(paths) :]
    outside = [Outsider(name, *rating) for name, rating in zip(opponents, known, strict=True)]
    kind = {"board_size": size, "search_widths": search_widths, "openings": openings}
    rated = {"rungs": [asdict(one) for one in rungs], "opponents": [asdict(one) for one in outside]}
    write_json(run / "ladder.json", kind | {"games_per_match": games} | rated)
    shown_widths = ",".join(map(str, search_widths)) or "policy"
    _draw(rungs, outside, f"{run.name}, {size}x{size}, {shown_widths}", run / "ladder.png")
    add_ladder(run, f"elo/{size}x{size}", [(rung.games, rung.elo) for rung in rungs])
    return Ladder(rungs, outside)


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


def _pairs(count: int, outsiders: int) -> list[tuple[int, int]]:
    """Who meets: each of `count` checkpoints the `OPPONENTS` before it, and all that are numbered
    after the last one."""
    others = range(count, count + outsiders)
    return [
        (k, other) for k in range(count) for other in (*range(max(0, k - OPPONENTS), k), *others)
    ]


def _draw(rungs: list[Rung], outsiders: list[Outsider], title: str, path: Path) -> None:
    """Draws Elo over games, samples, evaluations and seconds into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4), layout="constrained")
    panels = figure.subplots(1, 4, sharey=True)
    for panel, what in zip(panels, ("games", "samples", "evaluations", "seconds"), strict=True):
        panel.errorbar(
            [getattr(rung, what) for rung in rungs],
            [rung.elo for rung in rungs],
            [rung.spread for rung in rungs],
            marker="o",
            capsize=3,
        )
        for one in outsiders:
            panel.axhline(one.elo, linestyle="dashed", color="grey")
            panel.annotate(one.name[:40], (0, one.elo), fontsize="x-small", va="bottom")
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
