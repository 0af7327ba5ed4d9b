"""Finds the runs below a folder and what files they have, and reads their documents.

What is a link is passed over, so nothing outside the folder is ever opened, and so is what is no
plain file or folder.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hex_ai.errors import HexAIError, StoreError
from hex_ai.selfplay.progress_file import read_progress
from hex_ai.store.folder_lock import is_in_use
from hex_ai.store.run_folder import SHARD, read_json, read_run, read_summary
from hex_ai.training.learn_folder import read_notes

# How far below the folder runs are looked for, how many are told of, and folders looked into.
DEEPEST, MOST_RUNS, MOST_FOLDERS = 4, 1000, 10_000

# Size and time of change in nanoseconds of a file.
Stamp = tuple[int, int]


@dataclass(frozen=True)
class FoundRun:
    """A run: its path below the folder looked through, where it is, and `selfplay` or `learn`."""

    name: str
    path: Path
    kind: str


@dataclass(frozen=True)
class RunFiles:
    """What a run's folder holds at one time: its documents by name, its shards by path, in the
    order written, and whether a process is writing there."""

    documents: dict[str, Stamp]
    shards: dict[Path, Stamp]
    in_use: bool

    def fingerprint(self) -> str:
        """Another text whenever anything of it is different."""
        shards = {str(path): stamp for path, stamp in self.shards.items()}
        return repr((self.documents, shards, self.in_use))

    def changed(self) -> float:
        """When a file changed last, in seconds of Unix; 0 where there is none."""
        stamps = (*self.documents.values(), *self.shards.values())
        return max((mtime for _, mtime in stamps), default=0) / 1e9


@dataclass
class Documents:
    """What the documents of a run say; None for those that are not there or cannot be read.

    Attributes:
      about: `run.json` or `learn.json`.
      troubles: a line for each that cannot be read.
    """

    about: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    ladder: dict[str, Any] | None = None
    troubles: list[str] = field(default_factory=list)


def find_runs(root: Path) -> dict[str, FoundRun]:
    """The runs in a folder and below, by name; a run's own folder has the name of its path, and the
    folder itself is `.`. What is in a run belongs to it."""
    found: dict[str, FoundRun] = {}
    waiting, looked = deque([(root.resolve(), ".", 0)]), 0
    while waiting and len(found) < MOST_RUNS and looked < MOST_FOLDERS:
        path, name, depth = waiting.popleft()
        looked += 1
        files, folders = _entries(path)
        if kind := _kind(files):
            found[name] = FoundRun(name, path, kind)
        elif depth < DEEPEST:
            below = "" if name == "." else f"{name}/"
            waiting.extend((path / one, below + one, depth + 1) for one in folders)
    return found


def files_of(run: FoundRun) -> RunFiles:
    """What the run's folder holds now; nothing where it is gone."""
    in_use = is_in_use(run.path)  # before its files: what ends meanwhile is seen the next time
    files, folders = _entries(run.path)
    documents = {name: stamp for name, stamp in files.items() if name in _READERS}
    shards = _shards(run.path, files)
    if run.kind == "learn" and "games" in folders:
        for size in _entries(run.path / "games")[1]:
            folder = run.path / "games" / size
            shards |= _shards(folder, _entries(folder)[0])
    return RunFiles(documents, shards, in_use)


def read_documents(run: FoundRun, files: RunFiles) -> Documents:
    """Reads all documents of a run."""
    read = Documents()
    for name, (part, reader) in _READERS.items():
        if name not in files.documents or (name == "run.json" and run.kind == "learn"):
            continue
        try:
            setattr(read, part, _read(run.path / name, reader))
        except HexAIError as error:
            read.troubles.append(str(error))
    if read.about is None and not read.troubles:
        read.troubles.append(f"{run.path}: holds games but no run.json")
    return read


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    """A document that other programs can read too. Raises `StoreError` if it is none."""
    data = reader(path.parent)
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: holds what is no JSON: {error}") from error
    return data


def _read_ladder(folder: Path) -> dict[str, Any]:
    data = read_json(folder / "ladder.json")
    if not isinstance(data, dict) or not isinstance(data.get("rungs"), list):
        raise StoreError(f"{folder}/ladder.json: not a ladder")
    return data


_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "run.json": ("about", read_run),
    "learn.json": ("about", read_notes),
    "summary.json": ("summary", read_summary),
    "progress.json": ("progress", read_progress),
    "ladder.json": ("ladder", _read_ladder),
}


def _kind(files: dict[str, Stamp]) -> str:
    """What run a folder with these files is; empty if none."""
    if "learn.json" in files:
        return "learn"
    is_selfplay = "run.json" in files or any(SHARD.fullmatch(name) for name in files)
    return "selfplay" if is_selfplay else ""


def _shards(folder: Path, files: dict[str, Stamp]) -> dict[Path, Stamp]:
    names = sorted(filter(SHARD.fullmatch, files), key=lambda name: (len(name), name))
    return {folder / name: files[name] for name in names}


def _entries(folder: Path) -> tuple[dict[str, Stamp], list[str]]:
    """The files in a folder, and the folders, sorted; nothing where it cannot be read."""
    files: dict[str, Stamp] = {}
    folders: list[str] = []
    for entry in _scanned(folder):
        try:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                folders.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                files[entry.name] = status.st_size, status.st_mtime_ns
        except OSError:  # gone meanwhile
            continue
    return files, sorted(folders)


def _scanned(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder and has a name that can be told."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return
    for entry in found:
        if not any("\ud800" <= letter <= "\udfff" for letter in entry.name):
            yield entry
