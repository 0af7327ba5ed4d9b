"""Folders of games: what is stored comes back bit for bit, and what is damaged is named."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from evaluators import Hashed
from test_selfplay_modes import print_of

from hex_ai.errors import HexAIError, RecordError, StoreError
from hex_ai.game.records import NO_CELL, SWAP, GameRecord
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store import folder_lock
from hex_ai.store import run_folder as game_store
from hex_ai.store.folder_lock import lock_folder
from hex_ai.store.run_folder import (
    GameStore,
    load_games,
    read_games,
    read_run,
    shard_paths,
)
from hex_ai.store.schema import records_of, to_table

Share = Callable[[int, int], int]

RUN: dict[str, Any] = {
    "format": "hex_ai-run",
    "version": 1,
    "network": {"digest": "toy", "architecture": "toy", "config": {}},
    "settings": {"board_size": 4, "seed": 0},
    "plan": {"device": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def games() -> list[GameRecord]:
    """Games with a swap and without, a ply that was not searched, and fewer cells than asked."""
    runner = Runner(Hashed(4), SelfPlaySettings(4, (9, 2)), games_in_flight=12, network="toy")
    found = [game for some in runner.play(range(12)) for game in some]
    assert {game.swapped for game in found} == {True, False}
    assert all(game.search[0] == 0 for game in found)
    assert any((game.candidate_cells[1:] == NO_CELL).any() for game in found)
    return found


def prints(games: Any) -> list[dict[str, Any]]:
    return sorted(map(print_of, games), key=lambda game: int(game["game_id"][1]))


def stored(folder: Path, games: list[GameRecord], shard: int = 5) -> Path:
    """A folder with these games, `shard` in a file."""
    with GameStore(folder, RUN) as store:
        for start in range(0, len(games), shard):
            store.write(games[start : start + shard])
    return folder


def test_records_come_back_bit_for_bit(games: list[GameRecord], tmp_path: Path) -> None:
    odd = np.array([2**31 - 1, 2**24 - 1, -0.0, 1e-45], dtype=np.float32)
    values = games[0].values.copy()
    values[:4] = odd  # rounds to nothing, ties nothing: only the bits count
    games = [replace(games[0], values=values, game_id=2**62), *games[1:]]
    folder = stored(tmp_path / "run", games)
    assert len(shard_paths(folder)) == 3
    assert [game.game_id for game in read_games(folder)] == sorted(g.game_id for g in games)
    narrow = [replace_width(game) for game in games]
    assert prints(replace_width(game) for game in read_games(folder)) == prints(narrow)
    assert prints(map(replace_width, records_of(to_table(games)))) == (prints(narrow))


def replace_width(game: GameRecord) -> GameRecord:
    """The record without columns that nothing is in: a file does not know the width asked for."""
    fields = {}
    for cells, others in (
        ("candidate_cells", ("candidate_priors", "candidate_values")),
        ("policy_cells", ("policy_probabilities",)),
    ):
        used = (getattr(game, cells) != NO_CELL).sum(1).max()
        for name in (cells, *others):
            field = getattr(game, name)
            assert not (field[:, used:] > 0).any()
            fields[name] = field[:, :used].copy()
    return replace(game, **fields)


def test_files_say_which_schema_they_have(games: list[GameRecord], tmp_path: Path) -> None:
    (path,) = shard_paths(stored(tmp_path, games[:2]))
    schema = pq.read_schema(path)
    assert schema.metadata[b"hex_ai.schema_version"] == b"1"
    newer = pq.read_table(path).replace_schema_metadata({"hex_ai.schema_version": "2"})
    pq.write_table(newer, path)
    with pytest.raises(StoreError, match=r"games-000000.parquet: record schema version 2"):
        load_games(tmp_path)
    other = pa.table({"game_id": [1]}).replace_schema_metadata({"hex_ai.schema_version": "1"})
    pq.write_table(other, path)
    with pytest.raises(StoreError, match=r"games-000000.parquet: the columns"):
        load_games(tmp_path)


def test_games_load_as_tensors_in_id_order(games: list[GameRecord], tmp_path: Path) -> None:
    loaded = load_games(stored(tmp_path, games[::-1]))
    ordered = sorted(games, key=lambda game: game.game_id)
    assert loaded.game_ids.tolist() == list(range(12)) == [game.game_id for game in ordered]
    assert (loaded.board_size, len(loaded)) == (4, 12)
    assert loaded.winners.tolist() == [game.winner for game in ordered]
    assert loaded.winners.dtype == torch.int8
    assert loaded.ends == ("join",) * 12
    bounds = np.cumsum([0, *(len(game.moves) for game in ordered)]).tolist()
    assert loaded.first_ply.tolist() == bounds
    assert loaded.first_ply.dtype == loaded.game_ids.dtype == torch.int64
    for name in ("moves", "search", "values", "preferred", "policy_rest"):
        flat = np.concatenate([getattr(game, name) for game in ordered])
        assert getattr(loaded, name).numpy().tobytes() == flat.tobytes()
    for name, filler in (("candidate_cells", NO_CELL), ("candidate_values", 0)):
        rows = np.concatenate([getattr(game, name) for game in ordered])
        width = getattr(loaded, name).shape[1]
        assert width == (np.concatenate([g.candidate_cells for g in ordered]) >= 0).sum(1).max()
        assert getattr(loaded, name).numpy().tobytes() == rows[:, :width].tobytes()
        assert (getattr(loaded, name)[0] == filler).all()  # the opening was not searched


def test_folders_without_games_and_of_two_sizes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    troubles = {
        tmp_path: "holds no games",
        tmp_path / "nowhere": "no such folder",
        file: "a file, not a folder",
    }
    for folder, trouble in troubles.items():
        for read in (load_games, lambda path: list(read_games(path))):
            with pytest.raises(StoreError, match=f"{folder}: {trouble}"):
                read(folder)
    for k, size in enumerate((3, 4)):
        runner = Runner(Hashed(2), SelfPlaySettings(size), games_in_flight=1)
        stored(tmp_path / str(k), [game for some in runner.play([k]) for game in some])
    shard_paths(tmp_path / "1")[0].rename(tmp_path / "0" / "games-000001.parquet")
    with pytest.raises(RecordError, match="one board size, got"):
        load_games(tmp_path / "0")


@pytest.mark.parametrize("name", ["values", "candidate_priors", "policy_rest"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_never_stored(
    name: str, bad: float, games: list[GameRecord], tmp_path: Path
) -> None:
    field = getattr(games[3], name).copy()
    field.flat[-1] = bad
    with GameStore(tmp_path, RUN) as store:
        with pytest.raises(RecordError, match=f"game {games[3].game_id} .* not finite"):
            store.write([games[0], replace(games[3], **{name: field})])
        assert left(tmp_path) == []


def left(folder: Path) -> list[str]:
    """What lies in the folder besides the lock and run.json."""
    return sorted(p.name for p in folder.iterdir() if p.name not in (".lock", "run.json"))


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_a_write_that_fails_leaves_nothing_and_says_so_in_a_line(
    step: str, games: list[GameRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **_: Any) -> None:
        if step == "write":
            arguments[1].write(b"PAR1 and a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    with GameStore(tmp_path, RUN) as store:
        store.write(games[:2])
        with monkeypatch.context() as patch:
            if step == "write":
                patch.setattr("pyarrow.parquet.write_table", full)
            else:
                patch.setattr("os.fsync" if step == "sync" else "os.replace", full)
            with pytest.raises(StoreError) as failure:
                store.write(games[2:4])
        assert str(failure.value).count("\n") == 0
        assert "games-000001.parquet: No space left on device" in str(failure.value)
        assert left(tmp_path) == ["games-000000.parquet"]
    with GameStore(tmp_path, RUN, resume=True) as store:
        assert store.finished == {game.game_id for game in games[:2]}
        store.write(games[2:4])
    assert prints(map(replace_width, read_games(tmp_path))) == prints(map(replace_width, games[:4]))


def test_drafts_of_a_killed_run_are_removed(games: list[GameRecord], tmp_path: Path) -> None:
    stored(tmp_path, games[:2])
    (tmp_path / ".hex_ai-0123456789abcdef.tmp").write_bytes(b"half a shard")
    (tmp_path / "notes.txt").write_text("mine")
    with GameStore(tmp_path, RUN, resume=True):
        assert left(tmp_path) == ["games-000000.parquet", "notes.txt"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with GameStore(tmp_path, RUN):
        for resume in (False, True):
            with pytest.raises(StoreError, match=f"{tmp_path}: another process is writing here"):
                GameStore(tmp_path, RUN, resume=resume)
    GameStore(tmp_path, RUN, resume=True).close()


def test_a_writer_in_another_process_is_noticed_until_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys, fcntl; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    GameStore(tmp_path, RUN).close()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StoreError, match="another process is writing here"):
            GameStore(tmp_path, RUN, resume=True)
        other.kill()
        other.wait()
    GameStore(tmp_path, RUN, resume=True).close()


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StoreError, match=r"\.lock: Function not implemented"):
        lock_folder(tmp_path)


def test_folders_that_cannot_be_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=str(folder)):
            GameStore(folder, RUN)

    def read_only(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folder_lock, "open", read_only, raising=False)
    with pytest.raises(StoreError, match=f"{tmp_path}/.lock: Permission denied"):
        GameStore(tmp_path, RUN)


def test_a_run_is_resumed_only_when_asked_and_as_it_was(
    games: list[GameRecord], tmp_path: Path
) -> None:
    stored(tmp_path, games[:2])
    with pytest.raises(StoreError, match=f"{tmp_path}: holds a run already; --resume"):
        GameStore(tmp_path, RUN)
    for part, name in (
        ("settings", "seed"),
        ("settings", "board_size"),
        ("plan", "threads"),
        ("network", "digest"),
    ):
        other = RUN | {part: RUN[part] | {name: "other"}}
        with pytest.raises(StoreError, match=f"{name} is {RUN[part][name]!r} .* not 'other'"):
            GameStore(tmp_path, other, resume=True)
    (tmp_path / "run.json").unlink()
    with pytest.raises(StoreError, match=f"{tmp_path}: holds games but no run.json"):
        GameStore(tmp_path, RUN, resume=True)


def test_resuming_where_there_is_nothing_starts(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "a" / "b"):
        with GameStore(folder, RUN, resume=True) as store:
            assert store.finished == set()
        assert read_run(folder) == RUN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"format": "hex_ai-run", "version": 2}',
        b'{"format": "hex_ai-run", "version": 1}',
        b'{"format": "hex_ai-run", "version": 1, "network": 1, "settings": 2, "plan": 3}',
        b"[" * 100_000,
    ],
    ids=lambda content: str(content[:50]),
)
def test_a_damaged_run_json_is_named(
    content: bytes, games: list[GameRecord], tmp_path: Path
) -> None:
    stored(tmp_path, games[:2])
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(StoreError) as refusal:
        GameStore(tmp_path, RUN, resume=True)
    assert str(tmp_path) in str(refusal.value)
    assert str(refusal.value).count("\n") == 0


def test_cut_shards_are_named(games: list[GameRecord], tmp_path: Path, share: Share) -> None:
    path = shard_paths(stored(tmp_path, games))[1]
    whole = path.read_bytes()
    for k in range(share(20, 400)):
        path.write_bytes(whole[: len(whole) * k // share(20, 400)])
        for read in (load_games, lambda folder: list(read_games(folder))):
            with pytest.raises(StoreError, match=r"games-000001\.parquet"):
                read(tmp_path)
        with pytest.raises(StoreError, match=r"games-000001\.parquet"):
            GameStore(tmp_path, RUN, resume=True)


def test_a_flipped_bit_is_noticed(games: list[GameRecord], tmp_path: Path, share: Share) -> None:
    """Each read gives what was written, or an error that names the shard: never other games."""
    path = shard_paths(stored(tmp_path, games, shard=12))[0]
    whole, want = path.read_bytes(), prints(read_games(tmp_path))
    draw = np.random.default_rng(1)
    wrong = []
    for _ in range(share(150, 5000)):
        damaged, place = bytearray(whole), int(draw.integers(len(whole)))
        damaged[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged)
        try:
            if prints(read_games(tmp_path)) != want:
                wrong.append(f"{place}: other games")
        except HexAIError as error:
            if path.name not in str(error) or "\n" in str(error):
                wrong.append(f"{place}: {error}")
        try:
            load_games(tmp_path)
        except HexAIError:
            continue
    assert wrong == []


def test_a_shard_whose_columns_disagree_is_named(games: list[GameRecord], tmp_path: Path) -> None:
    """A file of the right schema, but with fewer values than moves."""
    (path,) = shard_paths(stored(tmp_path, games, shard=12))
    table = pq.read_table(path)
    place = table.schema.get_field_index("values")
    short = pa.array([row[:-1] for row in table["values"].to_pylist()], pa.list_(pa.float32()))
    pq.write_table(table.set_column(place, table.schema.field(place), short), path)
    for read in (load_games, lambda folder: list(read_games(folder))):
        with pytest.raises(HexAIError):
            read(tmp_path)


@pytest.mark.parametrize(
    ("column", "planted", "text"),
    [
        ("swapped", lambda swapped: not swapped, "swapped says otherwise"),
        ("end", lambda _: "banana", "an end that is none of join, proven, resign"),
        ("winner", lambda _: "green", "neither red nor blue"),
    ],
)
def test_columns_about_a_whole_game_are_checked(
    column: str,
    planted: Callable[[Any], Any],
    text: str,
    games: list[GameRecord],
    tmp_path: Path,
) -> None:
    (path,) = shard_paths(stored(tmp_path, games, shard=12))
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    *others, last = table[column].to_pylist()
    wrong = pa.array([*others, planted(last)], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), wrong), path)
    with pytest.raises(StoreError, match=f"{path.name}: .*{text}"):
        list(read_games(tmp_path))


@pytest.mark.parametrize("in_one_shard", [False, True])
def test_a_game_that_is_there_twice_is_named(
    in_one_shard: bool, games: list[GameRecord], tmp_path: Path
) -> None:
    paths = shard_paths(stored(tmp_path, games))
    path = paths[1] if in_one_shard else tmp_path / "games-000009.parquet"
    table = pq.read_table(paths[1])
    pq.write_table(pa.concat_tables([table] * (1 + in_one_shard)), path)
    for read in (
        load_games,
        lambda folder: list(read_games(folder)),
        lambda folder: GameStore(folder, RUN, resume=True),
    ):
        with pytest.raises(RecordError, match=f"{path}: .* stored twice"):
            read(tmp_path)


@pytest.mark.parametrize("version", [2, 0, "1", None, True, 1.0, [1]])
def test_records_of_another_version_are_refused_by_name(
    version: Any, games: list[GameRecord], tmp_path: Path
) -> None:
    stored(tmp_path, games[:2])
    (tmp_path / "run.json").write_text(json.dumps(RUN | {"schema_version": version}))
    for read in (load_games, read_run, lambda f: list(read_games(f))):
        with pytest.raises(StoreError, match=r"run\.json: record schema version .*reads 1"):
            read(tmp_path)
    with pytest.raises(StoreError, match=r"run\.json: record schema version"):
        GameStore(tmp_path, RUN, resume=True)


def test_a_summary_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    assert game_store.read_summary(tmp_path) is None
    for text in ("", "{}", "[]", "3", json.dumps({"first_game": "a", "num_games": 1})):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"summary\.json: not (JSON|the summary)"):
            game_store.read_summary(tmp_path)
    assert SWAP == NO_CELL == -1  # both stand in files: docs/records.md
