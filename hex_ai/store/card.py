"""The card of a data set: what a folder of games holds, as a README.md for the Hugging Face hub.

Its head is YAML that the hub reads; the rest is for people.
"""

import json
from pathlib import Path
from typing import Any

from hex_ai.errors import StoreError
from hex_ai.store.run_folder import read_run, read_shard, shard_paths
from hex_ai.store.summary import RunSummary

# The hub's classes of size, by the number of rows that each ends below.
_SIZES = (
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")),
    *((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B")),
)
_LARGEST = "n>1B"


def card(folder: Path, license_name: str) -> str:
    """The text of the card of a run's folder.

    Args:
      folder: of a run of self-play, finished or not; read a shard at a time.
      license_name: as the hub spells it, such as `cc0-1.0`.

    Raises:
      StoreError: no run there, or no games in it; RecordError: a record that is damaged.
    """
    run, shards = read_run(folder), shard_paths(folder)
    if run is None:
        there = "holds no run" if folder.exists() else "no such folder"
        raise StoreError(f"{folder}: {there}")
    summary, plies = RunSummary(), 0
    for path in shards:
        for game in read_shard(path):
            summary.add(game)
            plies += len(game.moves)
    if not summary.games:
        raise StoreError(f"{folder}: holds no games yet")
    size = run["settings"]["board_size"]
    return "\n".join((_head(size, summary.games, license_name), _body(run, summary, plies), ""))


def _head(size: int, games: int, license_name: str) -> str:
    kind = next((name for below, name in _SIZES if games < below), _LARGEST)
    return f"""\
---
license: {json.dumps(license_name)}
pretty_name: "Hex {size}x{size}, {games:,} games of self-play"
tags: ["hex", "board-games", "self-play", "reinforcement-learning"]
size_categories: ["{kind}"]
configs:
- config_name: default
  data_files:
  - split: train
    path: "games-*.parquet"
---
"""


def _body(run: dict[str, Any], summary: RunSummary, plies: int) -> str:
    settings, figures = run["settings"], summary.to_json()
    size, widths = settings["board_size"], ",".join(map(str, settings["search_widths"]))
    ends = ", ".join(f"{count:,} {end}" for end, count in sorted(figures["ends"].items()))
    network = run["network"]
    return f"""\
# {summary.games:,} games of Hex on {size}x{size}, by self-play

| | |
|---|---|
| games | {summary.games:,}, {figures["distinct_games"]:,} of them distinct |
| plies | {plies:,}, {figures["mean_length"]:.1f} a game |
| won by Red, who moves first and joins top to bottom | {figures["red_share"]:.1%} |
| swapped by Blue | {figures["swap_share"]:.1%} |
| how games ended | {ends} |
| search widths | {widths} |
| network | {network["architecture"]}, SHA-256 {network["digest"]} |
| made by | hex_ai {run["package_version"]}, begun {run["started"]} |

A row is a game: its moves, winner and end, and for each ply what the search saw: the value of the
position as its mover sees it, the candidates with their priors and values, and the improved policy.
A move is row * {size} + column, -1 a swap of pieces.

## How to read it

```python
from hex_ai import GamesDataset, load_games

games = load_games("FOLDER")  # tensors of all games
samples = GamesDataset("FOLDER")  # planes, policy, value and outcome of each searched ply
```

```python
from glob import glob

import pyarrow.parquet as pq

games = pq.read_table(glob("FOLDER/games-*.parquet"))
```

## Settings

The same settings, network and inference plan give the same games again.

```json
{json.dumps({"settings": settings, "plan": run["plan"]}, indent=2)}
```
"""
