"""Runs as the page sees them: found, counted, filtered, shown and downloaded, sound or damaged.

Everything is seeded, so no test can fail by chance.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluators import Hashed
from forked import Run
from inference_toys import TEST_DEVICE, random_network
from test_engine import PLAN

from hex_ai.errors import HexAIError, NotationError, SettingError, StoreError
from hex_ai.formats.games import written_games
from hex_ai.formats.sgf import read_sgf
from hex_ai.game.notation import cell_name
from hex_ai.game.records import ENDS, RED, SWAP, GameRecord
from hex_ai.selfplay import shard_writer
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.folder_lock import lock_folder
from hex_ai.store.run_folder import (
    GameStore,
    load_games,
    read_games,
    read_table,
    shard_paths,
    write_shard,
)
from hex_ai.training.learn import learn
from hex_ai.web import run_index
from hex_ai.web import runs as runs_module
from hex_ai.web.run_files import DEEPEST
from hex_ai.web.runs import Runs

ROW = {"name", "kind", "state", "games", "wanted", "board_sizes", "changed", "trouble"}
VIEW = ROW | {
    *("settings", "plan", "network", "rates", "boards", "lengths", "openings", "red_share"),
    *("swap_share", "mean_length", "ends", "rounds", "ladder"),
}
RATES = {
    *("games_per_s", "moves_per_s", "evaluations_per_s", "efficiency", "mean_batch"),
    *("hit_rate", "eta_s", "seconds", "finished_games"),
}


def played(size: int, ids: range, **settings: Any) -> list[GameRecord]:
    """Games of a toy, some of their plies unsearched and some stopped early."""
    choice = SelfPlaySettings(size, (3, 2), **({"stop": ("proven",)} | settings))
    runner = Runner(Hashed(), choice, games_in_flight=16, network=f"toy{size}" * 8)
    return [game for some in runner.play(ids) for game in some]


@pytest.fixture(scope="module")
def games() -> list[GameRecord]:
    return played(4, range(40), searched=0.6) + played(
        4, range(40, 60), stop=("resign",), resign_threshold=0.3
    )


def store(folder: Path, games: list[GameRecord], **changed: Any) -> None:
    """A run of these games in shards of 16, without a summary: as one that was stopped."""
    run = {
        "format": "hex_ai-run",
        "version": 1,
        "network": {"digest": "toy"},
        "settings": {"board_size": games[0].board_size},
        "plan": {"device": "cpu"},
    }
    with GameStore(folder, run | changed) as kept:
        for first in range(0, len(games), 16):
            kept.write(games[first : first + 16])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The runs of a folder, looked for anew each time; all that is told must be plain JSON."""
    monkeypatch.setattr(runs_module, "SCAN_SECONDS", 0.0)
    return Runs(tmp_path)


def told(data: Any) -> Any:
    """The data, after a check that any JSON reader takes it, and that it says no path."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "/tmp" not in text
    return data


def states(runs: Runs) -> dict[str, str]:
    rows = told(runs.listing())
    assert all(row.keys() == ROW and "\n" not in row["trouble"] for row in rows)
    return {row["name"]: row["state"] for row in rows}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learnt")
    small: dict[str, Any] = {"channels": 8, "blocks": 1, "games_per_round": 6, "device": "cpu"}
    learn(folder, board_sizes=(3, 4), games=24, **small)
    return folder


def test_a_run_is_followed_from_its_first_game_to_its_end(
    tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs.listing() == []
    monkeypatch.setattr(shard_writer, "SHARD_GAMES", 3)
    network = random_network(2, 8, 1)
    settings: dict[str, Any] = {"board_size": 3, "games_in_flight": 4, "output_dir": tmp_path / "a"}
    playing = SelfPlayEngine(model=network, plan=PLAN, **settings).generate_games(12)
    next(playing)
    view = told(runs.view("a"))
    assert view.keys() == VIEW
    assert (view["state"], view["wanted"], view["board_sizes"]) == ("running", 12, [3])
    assert view["rates"].keys() == RATES
    assert 0 < view["games"] < 12
    assert 0 < view["rates"]["efficiency"] < 1
    assert 1 <= len(view["boards"]) <= 4
    assert all(board["size"] == 3 for board in view["boards"])
    before = runs.fingerprint("a")
    assert runs.fingerprint("a") == before
    seen = view["games"]
    next(game for game in playing if len(list(read_games(tmp_path / "a"))) > seen)
    assert runs.fingerprint("a") != before
    assert seen < runs.view("a")["games"] == runs.games("a")["total"] == runs.listing()[0]["games"]
    playing.close()  # type: ignore[attr-defined]
    stopped = told(runs.view("a"))
    assert (stopped["state"], stopped["wanted"], stopped["boards"]) == ("stopped", 12, [])
    list(SelfPlayEngine(model=network, plan=PLAN, resume=True, **settings).generate_games(12))
    ended = told(runs.view("a"))
    assert (ended["state"], ended["games"], ended["wanted"]) == ("complete", 12, 12)
    assert ended["rates"]["evaluations_per_s"] > 0
    assert ended["settings"]["board_size"] == 3
    assert len(ended["network"]["digest"]) == 64
    assert abs(ended["changed"] - time.time()) < 60


def test_a_run_of_another_process_is_seen_live_and_when_it_was_killed(
    tmp_path: Path, runs: Runs
) -> None:
    games = ("--num-games", "100000", "--board-size", "3", "--games-in-flight", "6")
    plan = ("--runtime", "eager", "--precision", "float32", "--device", TEST_DEVICE)
    run = Run("selfplay", "--out", str(tmp_path / "x"), *games, *plan, shard_games=3)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "x").glob("games-*.parquet")):
        assert run.status is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    view = told(runs.view("x"))
    assert (view["state"], view["wanted"], view["trouble"]) == ("running", 100_000, "")
    assert len(view["boards"]) == 4
    run.send(signal.SIGKILL)
    run.wait()
    view = told(runs.view("x"))
    assert (view["state"], view["wanted"], view["boards"]) == ("stopped", 100_000, [])
    assert view["rates"]["eta_s"] is None
    assert view["games"] == len(list(read_games(tmp_path / "x")))


def test_a_run_of_learning_is_one_run(learnt: Path, tmp_path: Path, runs: Runs) -> None:
    shutil.copytree(learnt, tmp_path / "learnt")
    (tmp_path / "learnt" / "ladder.json").write_text(json.dumps({"rungs": [], "board_size": 3}))
    view = told(runs.view("learnt"))
    assert states(runs) == {"learnt": "complete"}
    assert (view["kind"], view["games"], view["wanted"]) == ("learn", 24, 24)
    assert view["board_sizes"] == [3, 4]
    assert [row["games"] for row in view["rounds"]] == [6, 12, 18, 24]
    assert view["network"]["digest"] == view["rounds"][-1]["network"]
    assert view["ladder"] == {"rungs": [], "board_size": 3}
    assert [one["size"] for one in view["openings"]] == [3, 4]
    assert view["rates"].keys() == RATES
    assert view["rates"]["finished_games"] == 24
    with lock_folder(tmp_path / "learnt"):
        assert states(runs) == {"learnt": "running"}
        assert told(runs.view("learnt"))["rates"]["eta_s"] == 0
    name, pieces = runs.download("learnt", "parquet")
    assert name == "learnt.parquet"
    (tmp_path / name).write_bytes(b"".join(pieces))
    assert pq.read_table(tmp_path / name).num_rows == 24
    assert b"".join(runs.download("learnt", "trmph")[1]).count(b"\n") == 24
    assert runs.game("learnt", 4, runs.games("learnt", size=4)["games"][0]["id"])
    notes = tmp_path / "learnt" / "learn.json"
    longer = json.loads(notes.read_text()) | {"length": {"games": 25, "seconds": None}}
    notes.write_text(json.dumps(longer))
    assert states(runs) == {"learnt": "stopped"}
    with lock_folder(tmp_path / "learnt"):
        assert told(runs.view("learnt"))["rates"]["eta_s"] > 0


FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({}, lambda game: True),
    ({"size": 4}, lambda game: True),
    ({"size": 5}, lambda game: False),
    ({"opening": "b2"}, lambda game: game["opening"] == "b2"),
    ({"opening": "k11"}, lambda game: False),
    ({"min_length": 9}, lambda game: game["length"] >= 9),
    ({"max_length": 9, "min_length": 8}, lambda game: 8 <= game["length"] <= 9),
    ({"winner": "red"}, lambda game: game["winner"] == "red"),
    ({"winner": "blue", "end": "proven"}, lambda g: (g["winner"], g["end"]) == ("blue", "proven")),
    ({"end": "resign"}, lambda game: game["end"] == "resign"),
    ({"upset": 0.2}, lambda game: game["upset"] is not None and game["upset"] <= 0.2),
    ({"upset": 1}, lambda game: game["upset"] is not None),
    ({"max_length": 10**30, "start": 3, "count": 5}, lambda game: True),
    ({"count": 0}, lambda game: True),
]


def slow_row(game: GameRecord) -> dict[str, Any]:
    """What is told of a game, one ply at a time."""
    chances = []
    for ply, move in enumerate(game.moves.tolist()):
        value = float(game.values[ply]) * (-1 if move == SWAP else 1)
        mover_wins = (ply % 2 == 0) == (game.winner == RED)
        if game.search[ply]:
            chances.append((1 + (value if mover_wins else -value)) / 2)
    return {
        "id": game.game_id,
        "size": game.board_size,
        "length": len(game.moves),
        "winner": "red" if game.winner == RED else "blue",
        "end": game.end,
        "opening": cell_name(int(game.moves[0]), game.board_size),
        "swapped": game.swapped,
        "upset": min(chances, default=None),
        "network": game.network,
    }


def test_filters_and_figures_are_those_of_a_slow_reader(
    games: list[GameRecord], tmp_path: Path, runs: Runs
) -> None:
    store(tmp_path / "x", games)
    rows = [slow_row(game) for game in sorted(games, key=lambda game: game.game_id)]
    assert {row["end"] for row in rows} == set(ENDS)
    assert any(row["swapped"] for row in rows)
    for filters, kept in FILTERS:
        found = told(runs.games("x", **filters))
        want = [row for row in rows if kept(row)]
        start, count = filters.get("start", 0), filters.get("count", 100)
        assert found["total"] == len(want), filters
        for one, other in zip(found["games"], want[start : start + count], strict=True):
            assert one == other | {"upset": pytest.approx(other["upset"], abs=1e-6)}
    view = told(runs.view("x"))
    assert sum(count for _, count in view["lengths"]) == len(games)
    lengths = [row["length"] for row in rows]
    assert view["lengths"] == [[n, lengths.count(n)] for n in sorted(set(lengths))]
    assert view["mean_length"] == pytest.approx(np.mean(lengths))
    assert view["red_share"] == np.mean([row["winner"] == "red" for row in rows])
    assert view["swap_share"] == np.mean([row["swapped"] for row in rows])
    assert view["ends"] == {end: [row["end"] for row in rows].count(end) for end in ENDS}
    (openings,) = view["openings"]
    names = [row["opening"] for row in rows]
    assert openings["counts"] == [names.count(cell_name(cell, 4)) for cell in range(16)]


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"winner": "green"}, SettingError),
        ({"end": "time"}, SettingError),
        ({"opening": "4"}, NotationError),
        ({"opening": "zz999"}, NotationError),
        ({"min_length": "long"}, SettingError),
        ({"upset": "0.5"}, SettingError),
        ({"start": -1}, SettingError),
        ({"count": 1.5}, SettingError),
    ],
)
def test_filters_that_make_no_sense_are_refused(
    filters: dict[str, Any], error: type[HexAIError], games: list[GameRecord], tmp_path: Path
) -> None:
    store(tmp_path / "x", games[:2])
    with pytest.raises(error):
        Runs(tmp_path).games("x", **filters)


def test_a_game_is_shown_with_chances_and_candidates(
    games: list[GameRecord], tmp_path: Path, runs: Runs
) -> None:
    store(tmp_path / "x", games)
    for game in games:
        shown = told(runs.game("x", 4, game.game_id))
        tree, moves = shown["tree"], game.moves.tolist()
        assert [node["parent"] for node in tree["nodes"]] == [None, *range(len(moves))]
        named = ["swap-pieces" if move == SWAP else cell_name(move, 4) for move in moves]
        assert [node["move"]["what"] for node in tree["nodes"][1:]] == named
        colours = ["red", "blue"] * len(moves)
        assert [node["move"]["colour"] for node in tree["nodes"][1:]] == colours[: len(moves)]
        winner = "B" if game.winner == RED else "W"
        reason = {"join": "", "proven": "Proven", "resign": "Resign"}[game.end]
        assert tree["result"] == f"{winner}+{reason}"
        assert len(shown["values"]) == len(shown["candidates"]) == len(moves)
        for ply, (chance, candidates) in enumerate(
            zip(shown["values"], shown["candidates"], strict=True)
        ):
            if not game.search[ply]:
                assert (chance, candidates) == (None, [])
                continue
            value = float(game.values[ply]) * (-1 if moves[ply] == SWAP else 1)
            assert chance == pytest.approx((1 + (value if ply % 2 == 0 else -value)) / 2, abs=1e-6)
            cells = [cell for cell in game.candidate_cells[ply].tolist() if cell >= 0]
            assert [one["cell"] for one in candidates] == [cell_name(cell, 4) for cell in cells]
            best = (1 + game.candidate_values[ply][: len(cells)]) / 2
            assert [one["value"] for one in candidates] == pytest.approx(best.tolist(), abs=1e-6)
    for size, game_id in ((4, 60), (5, 0), (4, -1), (4, 10**30)):
        with pytest.raises(StoreError, match=f"x: no game {game_id} of {size}x{size}"):
            runs.game("x", size, game_id)


def test_downloads_hold_all_games(games: list[GameRecord], tmp_path: Path, runs: Runs) -> None:
    store(tmp_path / "deep" / "x y", games)
    for to in ("sgf", "trmph"):
        name, pieces = runs.download("deep/x y", to)
        assert name == f"deep-x-y.{to}"
        want = [line for _, line in written_games(tmp_path / "deep" / "x y", to)]
        text = b"".join(pieces).decode()
        assert text.splitlines() == want
        if to == "sgf":
            assert len(read_sgf(text)) == len(games)
    _, pieces = runs.download("deep/x y", "parquet")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "games-000000.parquet").write_bytes(b"".join(pieces))
    ours, theirs = load_games(copy), load_games(tmp_path / "deep" / "x y")
    assert ours.moves.tolist() == theirs.moves.tolist()
    with pytest.raises(SettingError, match="format 'zip' is not one of parquet, sgf, trmph"):
        runs.download("deep/x y", "zip")


def test_only_new_shards_are_read(
    games: list[GameRecord], tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "x", games[:40])
    read: list[str] = []

    def noted(path: Path, columns: list[str]) -> pa.Table:
        read.append(path.name)
        return read_table(path, columns)

    monkeypatch.setattr(run_index, "read_table", noted)
    assert runs.games("x")["total"] == 40
    assert runs.view("x")["games"] == 40
    write_shard(tmp_path / "x", 3, games[40:])
    assert runs.games("x")["total"] == runs.listing()[0]["games"] == len(games)
    assert read == [f"games-00000{number}.parquet" for number in range(4)]
    (tmp_path / "x" / "games-000000.parquet").unlink()
    assert runs.games("x")["total"] == runs.view("x")["games"] == len(games) - 16
    assert len(read) == 4


def damages() -> dict[str, Callable[[Path], object]]:
    """Ways to spoil the run in a folder, by the word that its trouble must hold."""
    shard = "games-000001.parquet"

    def flip(folder: Path) -> None:
        data = bytearray((folder / shard).read_bytes())
        data[100] ^= 1
        (folder / shard).write_bytes(data)

    def change(**parts: Any) -> Callable[[Path], object]:
        def spoil(folder: Path) -> None:
            run = json.loads((folder / "run.json").read_text())
            (folder / "run.json").write_text(json.dumps(run | parts))

        return spoil

    return {
        "not JSON": lambda folder: (folder / "run.json").write_text("{"),
        "not the description of a run": change(format="of another program"),
        "version 2": change(version=2),
        "schema version 9": change(schema_version=9),
        "lacks one of": change(settings=[]),
        "what is no JSON": change(settings={"board_size": 4, "x": float("nan")}),
        "no JSON: 'utf-8'": change(settings={"board_size": 4, "x": "\ud800"}),
        "no run.json": lambda folder: (folder / "run.json").unlink(),
        "summary.json": lambda folder: (folder / "summary.json").write_text("[]"),
        "progress.json": lambda folder: (folder / "progress.json").write_text("{}"),
        "ladder.json: not a ladder": lambda folder: (folder / "ladder.json").write_text("[]"),
        f"{shard}: Parquet": lambda folder: os.truncate(folder / shard, 500),
        f"{shard}: ": lambda folder: (folder / shard).write_bytes(b""),
        "damaged": flip,
        "stored twice": lambda f: shutil.copy(f / shard, f / "games-000009.parquet"),
        "longer than any": lambda folder: os.truncate(folder / "run.json", 2**40),
        f"{shard}: record schema version none": lambda folder: pq.write_table(
            pa.table({"x": [1, 2]}), folder / shard
        ),
    }


@pytest.mark.parametrize("trouble", damages())
def test_a_damaged_run_says_so_and_the_others_are_there(
    trouble: str, games: list[GameRecord], tmp_path: Path, runs: Runs
) -> None:
    store(tmp_path / "good", games)
    store(tmp_path / "bad", games)
    damages()[trouble](tmp_path / "bad")
    view = told(runs.view("bad"))
    assert view["state"] == "damaged"
    assert trouble in view["trouble"]
    assert states(runs) == {"good": "stopped", "bad": "damaged"}
    assert runs.view("good")["games"] == len(games)
    told(runs.games("bad"))
    with suppress(HexAIError):
        runs.game("bad", 4, 17)
    for to in ("sgf", "trmph", "parquet"):
        with suppress(HexAIError):
            list(runs.download("bad", to)[1])


def test_runs_are_looked_for_so_deep_and_never_outside(
    games: list[GameRecord], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    store(outside / "x", games[:2])
    store(tmp_path.joinpath(*"abcd"), games[:2])
    store(tmp_path.joinpath(*"abefg"), games[:2])
    assert DEEPEST == 4
    (tmp_path / "link").symlink_to(outside / "x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / ".hidden").mkdir()
    for linked in ("run.json", "games-000000.parquet"):
        (tmp_path / linked.replace(".", "-")).mkdir()
        (tmp_path / linked.replace(".", "-") / linked).symlink_to(outside / "x" / linked)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "run.json")
    os.mkfifo(tmp_path / "pipe" / "games-000000.parquet")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    store(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff/x")), games[:2])
    runs = Runs(tmp_path)
    assert states(runs) == {"a/b/c/d": "stopped"}
    for name in ("link", "../outside0/x", str(outside / "x"), "a/b", "", "a/b/c/d/", "\0"):
        for ask in (runs.view, runs.fingerprint, runs.games):
            with pytest.raises(StoreError, match="no run"):
                ask(name)
    assert states(Runs(tmp_path / "a" / "b" / "c" / "d")) == {".": "stopped"}
    assert Runs(tmp_path / "none").listing() == []


def test_a_folder_that_goes_while_it_is_looked_at(
    games: list[GameRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "x", games)
    monkeypatch.setattr(runs_module, "SCAN_SECONDS", 1e9)
    runs = Runs(tmp_path)
    runs._looked = -1e18
    assert states(runs) == {"x": "stopped"}
    place = runs.games("x")["games"][0]["id"]
    shutil.rmtree(tmp_path / "x")
    assert runs.listing() == []
    for ask in (runs.view, runs.games, lambda name: runs.game(name, 4, place)):
        with pytest.raises(StoreError, match="no run x"):
            ask("x")
    with pytest.raises(StoreError):
        runs.download("x", "sgf")


def test_a_shard_that_is_damaged_later_is_named_without_its_place(
    games: list[GameRecord], tmp_path: Path, runs: Runs
) -> None:
    store(tmp_path / "x", games)
    (first, *_) = shard_paths(tmp_path / "x")
    for ask in (lambda: runs.game("x", 4, 0), lambda: runs.download("x", "sgf")):
        runs.games("x")
        first.chmod(0o644)
        first.write_bytes(b"PAR1" + bytes(100))
        with pytest.raises(StoreError) as caught:
            ask()
        assert str(tmp_path) not in str(caught.value)


def test_indices_are_kept_of_a_few_runs(
    games: list[GameRecord], tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "MOST_INDICES", 2)
    monkeypatch.setattr(runs_module, "MOST_COUNTS", 3)
    for name in "abcd":
        store(tmp_path / name, games[:4])
        assert runs.games(name)["total"] == 4
    assert list(runs._indices) == ["c", "d"]
    assert len(runs.listing()) == 4
    assert len(runs._counts) == 3
