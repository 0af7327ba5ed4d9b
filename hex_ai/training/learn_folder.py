"""The folder of a run of learning, and what is in it:

    learn.json            settings, and a row about each round
    state.pt              all that the next round depends on
    network…              the averaged network, as it is now
    checkpoints/          the same network at earlier times, by games played
    games/5x5/ …          the games of each board size, a shard a round, as `hex-ai selfplay` stores

`state.pt` is the truth: it takes its place only when a round is done, and what the other files hold
beyond it is put right on resume.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hex_ai import __version__
from hex_ai.atomic_files import DRAFT_PATTERN, atomic_file
from hex_ai.errors import StoreError
from hex_ai.game.records import SCHEMA_VERSION, GameRecord
from hex_ai.interrupts import interrupts_held
from hex_ai.store.folder_lock import lock_folder
from hex_ai.store.output_files import write_json
from hex_ai.store.run_folder import (
    RUN_FORMAT,
    RUN_VERSION,
    read_document,
    read_shard,
    shard_paths,
    write_shard,
)

LEARN_FORMAT = "hex_ai-learn"
LEARN_VERSION = 1

# What others read of a row about a round.
ROW_PARTS = {"games", "samples", "evaluations", "seconds", "network"}

# What the files of networks end in.
SUFFIX = ".safetensors"

_CHECKPOINT = re.compile(r"games-([0-9]{9,})" + re.escape(SUFFIX))


class RunFolder:
    """Reads and writes the folder of one run; one process at a time.

    Args:
      path: made if it is not there.

    Raises:
      StoreError: the folder cannot be written or is in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(path, error) from error
        self._lock = lock_folder(path)

    def close(self) -> None:
        """Releases the lock."""
        self._lock.close()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def network_path(self) -> Path:
        """The newest network."""
        return self.path / f"network{SUFFIX}"

    def checkpoint_path(self, games: int) -> Path:
        """Where the network goes that has learnt from so many games."""
        return self.path / "checkpoints" / f"games-{games:09d}{SUFFIX}"

    def write_notes(self, notes: dict[str, Any]) -> None:
        """Writes `learn.json`."""
        head = {"format": LEARN_FORMAT, "version": LEARN_VERSION, "package_version": __version__}
        write_json(self.path / "learn.json", head | notes)

    def save_state(self, state: dict[str, Any]) -> None:
        """Writes `state.pt`, wholly or not at all."""
        path = self.path / "state.pt"
        try:
            with atomic_file(path) as file, interrupts_held():
                torch.save({"version": LEARN_VERSION} | state, file)
        except OSError as error:
            raise _failed(path, error) from error

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` wrote last, tensors on the CPU; None if it never did.

        Raises:
          StoreError: the file is damaged.
        """
        path = self.path / "state.pt"
        try:
            with zipfile.ZipFile(path) as archive:  # whose checksums `torch.load` does not compare
                sound = archive.testzip() is None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, about what a damaged file names
                state: Any = sound and torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(path, error) from error
        except Exception as error:  # torch has a dozen types for what can be wrong with a file
            raise StoreError(f"{path}: damaged, cannot go on from it") from error
        if not isinstance(state, dict) or state.get("version") != LEARN_VERSION:
            raise StoreError(f"{path}: damaged, or not of version {LEARN_VERSION}")
        return state

    def open_games(self, size: int, run: dict[str, Any], games: int, most: int) -> None:
        """Makes the folder of one board size, and clears it of games numbered `games` and later: of
        a round of up to `most` that was stored and not learnt from, and will be played again.

        Raises:
          StoreError: the folder cannot be written, or holds more than that.
        """
        folder = self._games(size)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for draft in folder.glob(DRAFT_PATTERN):
                draft.unlink()
            for path in self._later_shards(folder, games, most):
                path.unlink()
        except OSError as error:
            raise _failed(folder, error) from error
        about = {"format": RUN_FORMAT, "version": RUN_VERSION, "schema_version": SCHEMA_VERSION}
        write_json(folder / "run.json", about | run)

    def _later_shards(self, folder: Path, games: int, most: int) -> list[Path]:
        """The shards of games numbered `games` and later, the newest first."""
        later = []
        for path in reversed(shard_paths(folder)):
            ids = [game.game_id for game in read_shard(path)]
            if max(ids) < games:
                break
            if max(ids) >= games + most:
                raise StoreError(f"{path}: holds games that the run's state.pt does not know of")
            later.append(path)
        return later

    def drop_later_checkpoints(self, games: int) -> None:
        """Removes checkpoints of more than so many games: of a round that did not count."""
        for path in checkpoint_paths(self.path):
            if games_of_checkpoint(path) > games:
                path.unlink()

    def store_games(self, size: int, number: int, games: list[GameRecord]) -> None:
        """Stores the games of round `number` as one shard. Raises `StoreError` if it cannot."""
        write_shard(self._games(size), number, games)

    def newest_games(self, size: int) -> Iterator[list[GameRecord]]:
        """The rounds of one board size, the newest first, each in the order it was stored."""
        for path in reversed(shard_paths(self._games(size))):
            yield read_shard(path)

    def _games(self, size: int) -> Path:
        return self.path / "games" / f"{size}x{size}"


def read_notes(path: Path) -> dict[str, Any] | None:
    """What `learn.json` in a folder says, or None if there is none.

    Raises:
      StoreError: it is damaged, or of another version.
    """
    file = path / "learn.json"
    notes = read_document(file, LEARN_FORMAT, LEARN_VERSION, "a run of learning")
    if notes is not None and not _is_whole(notes):
        raise StoreError(f"{file}: lacks a part")
    return notes


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints kept in the folder of a run, the oldest first."""
    found = (folder / "checkpoints").glob(f"games-*{SUFFIX}")
    return sorted(path for path in found if _CHECKPOINT.fullmatch(path.name))


def games_of_checkpoint(path: Path) -> int:
    """The games that the network of a checkpoint has learnt from, by its name."""
    match = _CHECKPOINT.fullmatch(path.name)
    return int(match[1]) if match else 0


def _is_whole(notes: dict[str, Any]) -> bool:
    """Whether what `learn.json` says has the parts that are read."""
    parts = {"settings": dict, "network": dict, "plan": dict, "rounds": list}
    return (
        "init" in notes
        and all(isinstance(notes.get(part), kind) for part, kind in parts.items())
        and all(isinstance(row, dict) and row.keys() >= ROW_PARTS for row in notes["rounds"])
        and isinstance(notes["settings"].get("board_sizes"), list)
        and isinstance(notes["network"].get("config"), dict)
    )


def _failed(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {error.strerror or error}")
