"""The data set card of a run: a README.md with the head that the Hugging Face hub reads."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hex_ai.errors import RecordError, SettingError, StoreError
from hex_ai.store.run_folder import (
    read_run,
    read_shard,
    read_summary,
    require_folder,
    shard_paths,
    stored_ids,
)
from hex_ai.store.summary import RunSummary

# Upper bounds, exclusive, of the hub's classes of size, by rows.
_SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
}
_LARGEST = "1B<n<10B"

_ENDS = {
    "join": "by a chain from edge to edge",
    "proven": "as soon as the winner's connection was proven",
    "resign": "by resignation",
}

# The parts of `run.json` that are told whole.
_PARTS = {"settings": "Settings", "plan": "Inference plan", "network": "Network"}

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")

_HOW_TO_LOAD = """\
Each of these runs in the folder of this file. With `hex_ai`, as tensors:

```python
from hex_ai import load_games

games = load_games(".")  # game g has the plies first_ply[g] to first_ply[g + 1]
print(len(games), "games of", len(games.moves), "plies")
```

As positions to train on, with `hex_ai` and torch:

```python
from hex_ai import GamesDataset

for planes, policy, value, outcome in GamesDataset(".", seed=0):
    print(planes.shape, policy.shape, value, outcome)
    break
```

With pyarrow alone, one row a game:

```python
from glob import glob
import pyarrow.parquet as pq

games = pq.read_table(glob("games-*.parquet"))
print(games.num_rows, "games:", games.column_names)
```
"""


@dataclass(frozen=True)
class RunCounts:
    """What the games stored in a run's folder come to.

    Attributes:
      games: of all shards, from `RunSummary.to_json`.
      plies: of all games.
      networks: digests of those that played, sorted.
      state: in words, how far the run is.
    """

    games: Mapping[str, Any]
    plies: int
    networks: tuple[str, ...]
    state: str


def count_run(folder: Path, run: Mapping[str, Any]) -> RunCounts:
    """Counts the stored games of a run, one shard in memory at a time.

    Args:
      run: what its `run.json` says.

    Raises:
      StoreError: there are none, or a shard or the summary cannot be read; RecordError: a game is
        there twice, or of another board size than the run's.
    """
    # Before the shards: a run that ends meanwhile would have more of them than were listed.
    summary = read_summary(folder)
    if not stored_ids(folder):
        raise StoreError(f"{folder}: holds no games")
    sums, plies, networks = RunSummary(), 0, set[str]()
    for path in shard_paths(folder):
        for game in read_shard(path):
            if game.board_size != run["settings"].get("board_size"):
                raise RecordError(f"{path}: game {game.game_id}: of another board size")
            sums.add(game)
            plies += len(game.moves)
            networks.add(game.network)
    state = _state(run, summary, sums.games)
    return RunCounts(sums.to_json(), plies, tuple(sorted(networks)), state)


def data_set_card(folder: Path, license_id: str) -> str:
    """The card of a run of self-play, or of one board size of a run of learning, as Markdown.

    Args:
      license_id: of the games, as the hub names it.

    Raises:
      SettingError: `license_id` cannot be one; StoreError, RecordError: as `count_run`, or no run
        is there.
    """
    if not _LICENSE.fullmatch(license_id):
        raise SettingError(
            f"license {license_id!r}: want the name that the hub has for it, such as cc0-1.0"
        )
    require_folder(folder)
    run = read_run(folder)
    if run is None:
        raise StoreError(f"{folder}: holds no run{_way_on(folder)}")
    counts = count_run(folder, run)
    title = f"Hex self-play on {_board(run)}, {_count(counts.games['games'], 'game')}"
    return "\n".join((*_head(title, license_id, counts), *_body(title, run, counts)))


def _way_on(folder: Path) -> str:
    """Where the games of a run of learning are, if this is one."""
    parts = sorted(path.parent for path in folder.glob("games/*/run.json"))
    return f"; name one of {', '.join(map(str, parts))}" if parts else ""


def _head(title: str, license_id: str, counts: RunCounts) -> Iterator[str]:
    """The lines of YAML; strings as JSON has them, which YAML reads too."""
    rows = counts.games["games"]
    size = next((name for bound, name in _SIZES.items() if rows < bound), _LARGEST)
    yield "---"
    yield f"license: {json.dumps(license_id)}"
    yield f"pretty_name: {json.dumps(title, ensure_ascii=False)}"
    yield "task_categories:\n- reinforcement-learning"
    yield "tags:\n- hex\n- board-games\n- self-play"
    yield f"size_categories:\n- {json.dumps(size)}"
    yield "configs:\n- config_name: default\n  data_files:"
    yield '  - split: train\n    path: "games-*.parquet"'
    yield "---\n"


def _body(title: str, run: Mapping[str, Any], counts: RunCounts) -> Iterator[str]:
    yield f"# {title}\n"
    yield "Games of Hex that a neural network played against itself, with what its search saw at"
    yield "every ply.\n"
    yield "| | |\n|---|---|"
    for name, value in _facts(run, counts):
        yield f"| {name} | {value} |"
    for name, heading in _PARTS.items():
        yield f"\n## {heading}\n\n| | |\n|---|---|"
        yield from (f"| `{key}` | {_cell(value)} |" for key, value in run[name].items())
    yield "\n## How to load them\n"
    yield _HOW_TO_LOAD


def _facts(run: Mapping[str, Any], counts: RunCounts) -> Iterator[tuple[str, str]]:
    games, settings = counts.games, run["settings"]
    shortest, *_, longest = games["length_percentiles"].values()
    yield "games", f"{games['games']:,}, {games['distinct_games']:,} of them distinct"
    yield "plies", f"{counts.plies:,}"
    yield "length in plies", f"{games['mean_length']:.1f} on average, {shortest} to {longest}"
    yield "won by Red", f"{games['red_share']:.1%}"
    yield "swapped", f"{games['swap_share']:.1%}"
    for end, number in sorted(games["ends"].items()):
        yield f"ended {_ENDS.get(end, end)}", f"{number:,}"
    yield "board", _board(run)
    if "search_widths" in settings:
        yield "search widths", _cell(settings["search_widths"])
    if "seed" in settings:
        yield "seed", _cell(settings["seed"])
    yield _played_by(counts.networks)
    if "package_version" in run:  # which a run of learning has in its own file
        yield "made with hex_ai", _cell(run["package_version"])
    yield "state of the run", counts.state


def _played_by(networks: tuple[str, ...]) -> tuple[str, str]:
    if len(networks) == 1:
        return "network, SHA-256", f"`{networks[0]}`"
    return "networks", f"{len(networks):,}; the column `network` has the SHA-256 of each"


def _state(run: Mapping[str, Any], summary: Mapping[str, Any] | None, stored: int) -> str:
    """How far a run is. One of learning has no summary: it can always be gone on with."""
    if "learnt_in" in run["network"]:
        return "part of a run of learning, as it was when this was written"
    if summary is None:
        return "not finished when this was written"
    wanted = summary["num_games"]
    return "finished" if stored == wanted else f"not whole: {stored:,} of {wanted:,} games"


def _board(run: Mapping[str, Any]) -> str:
    size = run["settings"].get("board_size")
    return f"{size} × {size}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cell(value: Any) -> str:
    """A value as a cell of a table."""
    text = json.dumps(value).strip('"')
    return f"`{text}`".replace("|", r"\|")
