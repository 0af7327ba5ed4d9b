"""`progress.json`: what it says, that games do not change by it, and that nothing stops for it."""

import fcntl
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from inference_toys import HashNetwork, random_network
from test_engine import PLAN, engine, prints

from hex_ai.errors import StoreError
from hex_ai.game.records import SWAP
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.selfplay import progress_file, shard_writer
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.progress_file import read_progress
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.folder_lock import is_in_use, lock_folder
from hex_ai.store.run_folder import load_games, read_games, read_summary
from hex_ai.training.learn import learn


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step."""
    monkeypatch.setattr(progress_file, "SECONDS", 0.0)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_tells_how_it_goes_and_plays_the_same_games(workers: int, tmp_path: Path) -> None:
    want = prints(engine(board_size=3).generate_games(30))
    playing = engine(board_size=3, output_dir=tmp_path, num_workers=workers, games_in_flight=6)
    seen: list[dict[str, Any]] = []
    stepped = progress_file.ProgressFile.stepped

    def noted(self: Any, batch: GameBatch) -> None:
        stepped(self, batch)
        if told := read_progress(tmp_path):
            seen.append(told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_file.ProgressFile, "stepped", noted)
        list(playing.generate_games(30))
    assert prints(read_games(tmp_path)) == want
    assert read_summary(tmp_path)
    assert read_progress(tmp_path) is None
    last = seen[-1]
    assert abs(last["time"] - time.time()) < 60
    assert (last["first_game"], last["num_games"], last["board_size"]) == (0, 30, 3)
    assert last["stats"]["games_to_play"] == 30
    shown = [game for one in seen for game in one["games"]]
    assert len({game["game_id"] for game in shown}) > 6
    records = {game.game_id: game.moves.tolist() for game in read_games(tmp_path)}
    for game in shown:
        assert records[game["game_id"]][: len(game["moves"])] == game["moves"]


def test_the_moves_of_games_under_way_are_those_of_their_records() -> None:
    asked = ModelInference(random_network(2, 8, 1), PLAN)  # which makes Blue swap
    settings = SelfPlaySettings(4, (3, 2))
    batch = GameBatch(settings, PositionCollector(asked), iter(range(9)), 3, asked.device, "")
    seen: list[tuple[int, list[int]]] = []
    games = []
    for ended in batch.play():
        games += ended
        seen += batch.under_way(2)
        assert len(batch.under_way(9)) == len(batch)
    records = {game.game_id: game.moves.tolist() for game in games}
    assert any(SWAP in moves for _, moves in seen)
    assert all(records[game_id][: len(moves)] == moves for game_id, moves in seen)
    assert max(len(moves) for _, moves in seen) > 5


def test_it_is_written_at_once_and_then_no_more_than_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_file, "SECONDS", 1e9)
    asked = ModelInference(HashNetwork(), PLAN)
    runner = Runner(asked, SelfPlaySettings(4, (3, 2)), games_in_flight=3)
    told: list[int] = []

    def describe() -> dict[str, object]:
        told.append(1)
        return {"stats": {}}

    runner.watcher = progress_file.ProgressFile(tmp_path, describe)
    list(runner.play(range(6)))
    assert told == [1]
    assert read_progress(tmp_path)


@pytest.mark.usefixtures("always")
def test_a_disk_that_refuses_it_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "progress.json").mkdir()  # which no file can replace
    with caplog.at_level(logging.WARNING):
        assert len(list(engine(output_dir=tmp_path).generate_games(20))) == 20
    told = [record.getMessage() for record in caplog.records if "progress" in record.getMessage()]
    assert told == [f"{tmp_path}/progress.json: Is a directory; the run goes on without"]
    assert not list(tmp_path.glob(".hex_ai-*"))


def test_a_run_that_was_stopped_leaves_it_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "SHARD_GAMES", 2)
    playing = engine(output_dir=tmp_path, games_in_flight=2).generate_games(12)
    next(playing)
    assert is_in_use(tmp_path)
    playing.close()  # type: ignore[attr-defined]
    left = read_progress(tmp_path)
    assert left is not None
    assert left["num_games"] == 12
    assert not is_in_use(tmp_path)
    assert len(load_games(tmp_path)) < 12
    list(engine(output_dir=tmp_path, resume=True).generate_games(12))
    assert read_progress(tmp_path) is None
    assert len(load_games(tmp_path)) == 12


@pytest.mark.usefixtures("always")
def test_learning_tells_of_the_round_under_way(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    learn(
        tmp_path,
        board_sizes=(3,),
        games=8,
        games_per_round=4,
        channels=8,
        blocks=1,
        device="cpu",
        report=lambda *_: seen.append(read_progress(tmp_path) or {}),
    )
    assert [one["stats"]["games_to_play"] for one in seen] == [4, 4]
    assert all(one["stats"]["moves_per_s"] > 0 for one in seen)
    assert read_progress(tmp_path) is None


def test_to_ask_whether_a_folder_is_in_use_does_not_keep_a_run_from_it(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    assert not (tmp_path / ".lock").exists()
    with lock_folder(tmp_path):
        assert is_in_use(tmp_path)
        with pytest.raises(StoreError, match="another process is writing here"):
            lock_folder(tmp_path)
    with open(tmp_path / ".lock", "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.05, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        lock_folder(tmp_path).close()
    assert not is_in_use(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "other"},
        {"version": 2},
        {"games": 5},
        {"games": [{"moves": [16]}]},
        {"games": [{"moves": [-2]}]},
        {"games": [{"moves": ["a1"]}]},
        {"games": [3]},
        {"stats": []},
        {"board_size": "4"},
    ],
)
def test_another_file_of_that_name_is_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    data = {"format": "hex_ai-progress", "version": 1, "board_size": 4, "stats": {}}
    path = tmp_path / "progress.json"
    path.write_text(json.dumps(data | {"games": [{"moves": [0, SWAP, 15]}]}))
    assert read_progress(tmp_path)
    path.write_text(json.dumps(data | {"games": []} | changed))
    with pytest.raises(StoreError, match=r"progress\.json: "):
        read_progress(tmp_path)
