"""What the page tells of a run, from its documents and the index of its games.

Documents may be of any content that is JSON: what is not a number where one is wanted is null.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hex_ai.errors import SettingError
from hex_ai.game.records import ENDS, RED
from hex_ai.inference.inference_stats import ratio
from hex_ai.training.schedule import Length
from hex_ai.web.recorded_game import move_name
from hex_ai.web.run_files import Documents, FoundRun, RunFiles
from hex_ai.web.run_index import IndexedGames

# What is told of each round of learning, and of how many rounds at most, evenly spread.
_ROUND = (
    *("number", "board_size", "games", "samples", "evaluations", "seconds", "mean_length"),
    *("agreement", "policy_loss", "value_loss", "entropy", "learning_rate", "network"),
)
MOST_ROUNDS = 1000

_LONGEST_TROUBLE = 300


def run_row(
    run: FoundRun, files: RunFiles, read: Documents, games: int, troubles: list[str]
) -> dict[str, Any]:
    """What the list of runs tells of one.

    Args:
      games: in its shards.
      troubles: a line for each shard that cannot be read.
    """
    return {
        "name": run.name,
        "kind": run.kind,
        "state": _state(run, files, read, troubles),
        "games": games,
        "wanted": _wanted(run, read),
        "board_sizes": _board_sizes(run, read),
        "changed": files.changed(),
        "trouble": _trouble(run, read.troubles + troubles),
    }


def run_view(
    run: FoundRun, row: Mapping[str, Any], read: Documents, games: IndexedGames
) -> dict[str, Any]:
    """The row of the list, and what else is told of one run."""
    about, running = read.about or {}, row["state"] == "running"
    return {
        **row,
        "settings": about.get("settings"),
        "plan": about.get("plan"),
        "network": _network(about),
        "rates": _rates_of_learning(read, running)
        if run.kind == "learn"
        else _rates(read, running),
        "boards": _boards(read.progress) if running and read.progress else [],
        **_figures(games),
        "rounds": _rounds(about.get("rounds", [])),
        "ladder": read.ladder,
    }


def number(value: object) -> float | None:
    """A finite number that is no truth value, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**63 and math.isfinite(value) else None


def _state(run: FoundRun, files: RunFiles, read: Documents, troubles: list[str]) -> str:
    if read.troubles:
        return "damaged"
    if files.in_use:
        return "running"
    if troubles:
        return "damaged"
    complete = _has_learnt(read) if run.kind == "learn" else read.summary is not None
    return "complete" if complete else "stopped"


def _has_learnt(read: Documents) -> bool:
    """Whether a run of learning has come to its length: by the rule of `Learner.rounds`, a round
    that would end further beyond the end than it begins before it is left out."""
    length, last = _length(read), _last_round(read)
    games, seconds = number(last.get("games")), number(last.get("seconds"))
    if length is None or games is None or seconds is None:
        return False
    if length.games is None:
        overlap = (read.about or {}).get("settings", {}).get("overlap", False)
        # The round that was the last to be learnt from when that was decided.
        decided = _round(read, -2) if overlap else last
        took = (number(decided.get(part)) or 0 for part in ("play_seconds", "learn_seconds"))
        seconds = (number(decided.get("seconds")) or 0) + sum(took) * (1.5 if overlap else 0.5)
    return length.done(int(games), seconds) >= 1


def _length(read: Documents) -> Length | None:
    said: Any = (read.about or {}).get("length")
    try:
        return Length(**said)
    except (TypeError, SettingError):
        return None


def _last_round(read: Documents) -> dict[str, Any]:
    return _round(read, -1)


def _round(read: Documents, index: int) -> dict[str, Any]:
    """The row about a round; an empty one if there is none."""
    rounds: list[dict[str, Any]] = (read.about or {}).get("rounds", [])
    return rounds[index] if len(rounds) >= -index else {}


def _wanted(run: FoundRun, read: Documents) -> float | None:
    if run.kind == "learn":
        length = _length(read)
        return None if length is None else length.games
    return number((read.summary or read.progress or {}).get("num_games"))


def _board_sizes(run: FoundRun, read: Documents) -> list[float]:
    settings = (read.about or {}).get("settings", {})
    sizes = settings.get("board_sizes", []) if run.kind == "learn" else [settings.get("board_size")]
    return [size for size in map(number, sizes) if size is not None]


def _trouble(run: FoundRun, troubles: list[str]) -> str:
    """The first trouble in one line, without where on this machine the run is."""
    if not troubles:
        return ""
    text = troubles[0].replace(f"{run.path}/", "").replace(str(run.path), run.name)
    text = " ".join(text.encode(errors="replace").decode().split())[:_LONGEST_TROUBLE]
    return text if len(troubles) == 1 else f"{text} (and {len(troubles) - 1} more)"


def _network(about: Mapping[str, Any]) -> Any:
    """The network that plays; of a run of learning, the one of its last round."""
    network, rounds = about.get("network"), about.get("rounds")
    if isinstance(network, dict) and rounds:
        return network | {"digest": rounds[-1].get("network")}
    return network


def _rates(read: Documents, running: bool) -> dict[str, Any] | None:
    """Of a run of self-play: of this sitting, or of the last one."""
    source = read.progress if running or read.summary is None else read.summary
    stats = (source or {}).get("stats" if source is read.progress else "performance")
    if not isinstance(stats, dict):
        return None
    rates = _speeds(stats)
    left, speed = number(stats.get("games_to_play")), rates["games_per_s"]
    if running and left is not None and speed:
        rates["eta_s"] = max(left - rates["finished_games"], 0) / speed
    return rates


def _rates_of_learning(read: Documents, running: bool) -> dict[str, Any] | None:
    """Of a run of learning: of the round under way, with counts and the time left of the run."""
    last, length = _last_round(read), _length(read)
    games, seconds = (number(last.get(part)) or 0 for part in ("games", "seconds"))
    if running and read.progress is not None:
        rates = _speeds(read.progress["stats"])
    elif last:
        evaluations = number(last.get("evaluations"))
        rates = _speeds({"finished_games": games, "seconds": seconds})
        rates["evaluations_per_s"] = evaluations and ratio(evaluations, seconds)
        rates |= {"finished_games": 0, "seconds": 0}
    else:
        return None
    rates["finished_games"] += games
    rates["seconds"] = (rates["seconds"] or 0) + seconds
    if running and length is not None:
        done = length.done(int(games), seconds)
        rates["eta_s"] = max(1 - done, 0) * seconds / done if done else None
    return rates


def _speeds(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The rates that the page shows, by `get_performance_stats` of an engine."""
    finished, seconds = number(stats.get("finished_games")) or 0, number(stats.get("seconds"))
    return {
        "games_per_s": ratio(finished, seconds or 0),
        "moves_per_s": number(stats.get("moves_per_s")),
        "evaluations_per_s": number(stats.get("evaluations_per_s")),
        "efficiency": number(stats.get("network_share")),
        "mean_batch": number(stats.get("mean_batch")),
        "hit_rate": number(stats.get("hit_rate")),
        "eta_s": None,
        "seconds": seconds,
        "finished_games": finished,
    }


def _boards(progress: Mapping[str, Any]) -> list[dict[str, Any]]:
    size = progress["board_size"]
    return [
        {"size": size, "moves": [move_name(move, size) for move in game["moves"]]}
        for game in progress["games"]
    ]


def _figures(games: IndexedGames) -> dict[str, Any]:
    """Counts over all games; shares are in 0 to 1, null where there is no game."""
    columns, count = games.columns, len(games)
    lengths = np.bincount(columns["length"])
    sizes = np.unique(columns["board_size"]).tolist()
    ends = np.bincount(columns["end"], minlength=len(ENDS)).tolist()
    return {
        "lengths": [[int(length), int(lengths[length])] for length in np.flatnonzero(lengths)],
        "openings": [{"size": size, "counts": _openings(games, size)} for size in sizes],
        "red_share": ratio(int((columns["winner"] == RED).sum()), count),
        "swap_share": ratio(int(columns["swapped"].sum()), count),
        "mean_length": ratio(int(columns["length"].sum()), count),
        "ends": {end: number for end, number in zip(ENDS, ends, strict=True) if number},
    }


def _openings(games: IndexedGames, size: int) -> list[int]:
    """How many games of this size began on each cell."""
    opening = games.columns["opening"][games.columns["board_size"] == size]
    counts: list[int] = np.bincount(opening[opening >= 0], minlength=size**2).tolist()
    return counts


def _rounds(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = max(1, -(-len(rounds) // MOST_ROUNDS))
    shown = rounds[::-step][::-1]  # the last one among them
    return [{part: row.get(part) for part in _ROUND} for row in shown]
