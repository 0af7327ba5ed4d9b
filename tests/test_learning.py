"""Runs of learning: what they write, what each setting does, and that a stop at any moment changes
nothing.

Everything is seeded. Moments of kills shift with the machine's load, but what is asserted holds at
every moment.
"""

import io
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inference_toys import TEST_DEVICE

from hex_ai.cli.main import main
from hex_ai.errors import SettingError, StoreError
from hex_ai.game.records import GameRecord
from hex_ai.interrupts import Interrupted, interrupts_raised
from hex_ai.network.checkpoint import load_checkpoint, save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.store.replay import find_faults
from hex_ai.store.run_folder import read_games, write_shard
from hex_ai.training import fitting
from hex_ai.training import learn_folder as run_folder
from hex_ai.training.fitting import SETTLED_FROM
from hex_ai.training.learn_folder import RunFolder
from hex_ai.training.learning import Learner, Round
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.schedule import LearnSettings, Length, joined_sizes, learning_rate, next_size
from hex_ai.training.trainer import Trainer
from hex_ai.training.window import LEAST, MOST, Window, limit

pytestmark = pytest.mark.usefixtures("one_thread")


Share = Callable[[int, int], int]

SMALL = LearnSettings(
    board_sizes=(3, 4),
    search_widths=(3, 1),
    channels=8,
    blocks=1,
    games_per_round=12,
    batch=16,
)


def learn(folder: Path, games: int, settings: LearnSettings = SMALL, **more: Any) -> list[Round]:
    with Learner(folder, settings, device=TEST_DEVICE, **more) as learner:
        return list(learner.rounds(Length(games=games)))


def weights(folder: Path) -> str:
    return load_checkpoint(folder / "network.pt.gz").digest


def test_a_run_writes_what_its_page_says(tmp_path: Path) -> None:
    rounds = learn(tmp_path, 96)
    assert [done.number for done in rounds] == list(range(1, 9))
    assert [done.games for done in rounds] == list(range(12, 97, 12))
    assert {done.board_size for done in rounds} == {3, 4}
    assert rounds[0].board_size == 3
    assert all(math.isfinite(done.policy_loss + done.value_loss) for done in rounds)
    assert all(0 <= done.agreement <= 1 and done.entropy > 0 for done in rounds)
    rates = [done.learning_rate for done in rounds]
    assert rates == sorted(rates, reverse=True)
    notes = json.loads((tmp_path / "learn.json").read_text())
    assert [row["network"] for row in notes["rounds"]] == [done.network for done in rounds]
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept[0] == "games-000000000.pt.gz"
    assert len(kept) > 3
    played = {}
    for size in (3, 4):
        games = list(read_games(tmp_path / "games" / f"{size}x{size}"))
        assert not find_faults(games)
        assert {game.board_size for game in games} == {size}
        played |= {game.game_id: game.network for game in games}
    assert sorted(played) == list(range(96))
    # Every game was played by the weights that its round began with.
    for done in rounds:
        ids = range(done.games - 12, done.games)
        assert {played[number] for number in ids} == {done.network}
    assert rounds[0].network == load_checkpoint(tmp_path / "checkpoints" / kept[0]).digest
    assert weights(tmp_path) not in played.values()


def test_games_in_flight_change_nothing(tmp_path: Path) -> None:
    for flight in (1, 5, 64):
        learn(tmp_path / str(flight), 36, games_in_flight=flight)
    assert len({weights(tmp_path / str(flight)) for flight in (1, 5, 64)}) == 1


def test_a_run_in_parts_is_the_run_in_one(tmp_path: Path) -> None:
    """Stopped between rounds and within them, by whoever takes them."""
    whole = learn(tmp_path / "whole", 84)
    parts: list[Round] = []
    for stop in (1, 3, 2):
        with Learner(tmp_path / "parts", SMALL, resume=True, device=TEST_DEVICE) as learner:
            for done in learner.rounds(Length(games=84)):
                parts.append(done)
                stop -= 1
                if not stop:
                    break
    parts += learn(tmp_path / "parts", 84, resume=True)
    timeless = [
        [replace(done, seconds=0.0, play_seconds=0.0, learn_seconds=0.0) for done in rounds]
        for rounds in (whole, parts)
    ]
    assert timeless[0] == timeless[1]
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


DRIVER = "from hex_ai.cli.main import main; main()"


def start(folder: Path) -> "subprocess.Popen[str]":
    command = ["learn", "--out", str(folder), "--resume", "--games", "120", "--device", TEST_DEVICE]
    sizes = ["--board-sizes", "3,4", "--search-widths", "3,1", "--channels", "8", "--blocks", "1"]
    rounds = ["--games-per-round", "12", "--batch", "16"]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *command, *sizes, *rounds],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def rounds_noted(folder: Path) -> int:
    try:
        return len(json.loads((folder / "learn.json").read_text())["rounds"])
    except FileNotFoundError:
        return 0


@pytest.mark.timeout(400)
def test_kills_at_any_moment_cost_nothing(tmp_path: Path, share: Share) -> None:
    """Every other stop is an interrupt, which must end in order."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run = start(whole)
    _, said = run.communicate(timeout=100)
    assert run.returncode == 0, said
    draw, seen = random.Random(4), 0
    for number in range(share(2, 10)):
        run = start(cut)
        seen = rounds_noted(cut)
        while run.poll() is None and rounds_noted(cut) <= seen:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.15)
        run.send_signal(signal.SIGKILL if number % 2 == 0 else signal.SIGINT)
        _, said = run.communicate(timeout=60)
        assert "Traceback" not in said
        if number % 2:
            assert run.returncode in (0, 130)
        assert rounds_noted(cut) >= seen
    run = start(cut)
    _, said = run.communicate(timeout=100)
    assert run.returncode == 0, said
    assert weights(whole) == weights(cut)
    for size in (3, 4):
        games = [list(read_games(path / "games" / f"{size}x{size}")) for path in (whole, cut)]
        assert [g.moves.tolist() for g in games[0]] == [g.moves.tolist() for g in games[1]]
        assert [g.game_id for g in games[0]] == [g.game_id for g in games[1]]


@pytest.mark.parametrize(
    "change",
    [
        {"board_sizes": (4,)},
        {"search_widths": (2, 1)},
        {"channels": 9},
        {"blocks": 2},
        {"games_per_round": 13},
        {"reuse": 9.0},
        {"batch": 3},
        {"learning_rate": 0.1},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_learnt(change: dict[str, Any], tmp_path: Path) -> None:
    learn(tmp_path / "one", 12)
    learn(tmp_path / "other", 12, replace(SMALL, **change))
    assert weights(tmp_path / "one") != weights(tmp_path / "other")
    with pytest.raises(StoreError, match=next(iter(change))):
        Learner(tmp_path / "one", replace(SMALL, **change), resume=True, device=TEST_DEVICE)


def test_a_run_may_start_from_a_network(tmp_path: Path) -> None:
    first = HexNetwork(NetworkConfig(8, 2))
    digest = save_checkpoint(tmp_path / "first.pt", first)
    as_it_is = replace(SMALL, channels=None, blocks=None)
    rounds = learn(tmp_path / "run", 24, as_it_is, init=tmp_path / "first.pt")
    assert rounds[0].network == digest
    assert load_checkpoint(tmp_path / "run" / "network.pt.gz").network.config == first.config
    # All sizes take part at once.
    assert {done.board_size for done in rounds} == {3, 4}
    other = tmp_path / "run" / "network.pt.gz"
    with pytest.raises(StoreError, match="another network"):
        Learner(tmp_path / "run", as_it_is, init=other, resume=True, device=TEST_DEVICE)
    # The run knows what it began with.
    assert not learn(tmp_path / "run", 24, as_it_is, resume=True)


def test_a_network_grows_in_a_run_that_is_resumed_exactly(tmp_path: Path) -> None:
    init = tmp_path / "first.pt"
    save_checkpoint(init, HexNetwork(NetworkConfig(8, 3)))
    larger = replace(SMALL, channels=10, blocks=4)
    learn(tmp_path / "whole", 48, larger, init=init)
    with Learner(tmp_path / "parts", larger, init=init, device=TEST_DEVICE) as learner:
        next(learner.rounds(Length(games=48)))
    learn(tmp_path / "parts", 48, larger, init=init, resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    grown = load_checkpoint(tmp_path / "parts" / "network.pt.gz").network
    assert grown.config == NetworkConfig(10, 4)


def test_resume_alone_goes_on_as_the_run_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path / "whole", 48)
    with Learner(tmp_path / "parts", SMALL, device=TEST_DEVICE) as learner:
        next(learner.rounds(Length(games=48)))
    flags = ["learn", "--out", str(tmp_path / "parts"), "--resume", "--device", TEST_DEVICE]
    assert command(monkeypatch, capsys, *flags)[0] == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    notes = json.loads((tmp_path / "parts" / "learn.json").read_text())
    assert notes["length"] == {"games": 48, "seconds": None}
    # Runs of older versions do not say how long they are.
    (tmp_path / "parts" / "learn.json").write_text(json.dumps(notes | {"length": None}))
    assert "--hours or --games" in command(monkeypatch, capsys, *flags)[1]
    assert command(monkeypatch, capsys, *flags, "--games", "48")[0] == 0
    for damage in ({"length": {"games": "x"}}, {"settings": {"board_sizes": [3], "x": 1}}):
        (tmp_path / "parts" / "learn.json").write_text(json.dumps(notes | damage))
        assert command(monkeypatch, capsys, *flags)[0] == 2


def test_folders_that_cannot_be_gone_on_with_are_refused(tmp_path: Path) -> None:
    learn(tmp_path, 24)
    with pytest.raises(StoreError, match="--resume"):
        Learner(tmp_path, SMALL, device=TEST_DEVICE)
    with (
        Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE),
        pytest.raises(StoreError, match="another process"),
    ):
        Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE)
    state = tmp_path / "state.pt"
    whole = state.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no state", whole[:-200] + bytes(200)):
        state.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"state\.pt"):
            Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE)
    state.write_bytes(whole)
    notes = tmp_path / "learn.json"
    lacking = json.loads(notes.read_text())
    del lacking["rounds"][0]["network"]
    for damaged in (
        b"{",
        b"[]",
        b"{}",
        b'{"format": "hex_ai-learn", "version": 99}',
        b'{"format": "hex_ai-learn", "version": 1}',
        json.dumps(lacking).encode(),
    ):
        notes.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"learn\.json"):
            Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE)


def test_nothing_is_lost_where_a_file_is_missing(tmp_path: Path) -> None:
    learn(tmp_path, 60)
    shards = sorted(tmp_path.glob("games/*/games-*"))
    (tmp_path / "state.pt").rename(tmp_path / "kept")
    with pytest.raises(StoreError, match=r"state\.pt"):
        Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE)
    (tmp_path / "learn.json").rename(tmp_path / "notes")
    for resume in (False, True):
        with pytest.raises(StoreError, match=r"learn\.json"):
            Learner(tmp_path, SMALL, resume=resume, device=TEST_DEVICE)
    (tmp_path / "notes").rename(tmp_path / "learn.json")
    learn(tmp_path / "young", 24)
    (tmp_path / "kept").write_bytes((tmp_path / "young" / "state.pt").read_bytes())
    (tmp_path / "kept").rename(tmp_path / "state.pt")
    with pytest.raises(StoreError, match="does not know"):
        Learner(tmp_path, SMALL, resume=True, device=TEST_DEVICE)
    assert sorted(tmp_path.glob("games/*/games-*")) == shards


def test_what_a_round_that_did_not_count_has_left_is_put_right(tmp_path: Path) -> None:
    """Stopped after all files but `state.pt` were written."""
    learn(tmp_path, 36)
    before = (tmp_path / "state.pt").read_bytes()
    learn(tmp_path, 48, resume=True)
    ahead = weights(tmp_path)
    (tmp_path / "state.pt").write_bytes(before)
    learn(tmp_path, 36, resume=True)
    assert weights(tmp_path) != ahead
    assert "games-000000048.pt.gz" not in [p.name for p in (tmp_path / "checkpoints").iterdir()]
    assert len(json.loads((tmp_path / "learn.json").read_text())["rounds"]) == 3
    learn(tmp_path, 48, resume=True)
    assert weights(tmp_path) == ahead


def test_games_of_the_round_under_way_are_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path, 48)
    folder = str(tmp_path / "games" / "3x3")
    assert command(monkeypatch, capsys, "verify", folder)[0] == 0
    path = tmp_path / "learn.json"
    notes = json.loads(path.read_text())
    last = notes["rounds"].pop()
    path.write_text(json.dumps(notes))
    assert command(monkeypatch, capsys, "verify", folder)[0] == 0
    notes["rounds"].append(last | {"network": "another"})
    notes["rounds"][0]["network"] = "another"
    path.write_text(json.dumps(notes))
    assert command(monkeypatch, capsys, "verify", folder)[0] == 7


def test_a_round_learns_from_all_sizes_that_have_games(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, fit = [], Trainer.fit

    def spy(trainer: Trainer, samples: Any, *rest: Any) -> Any:
        given.append([(weight, some.planes.shape[-1] - 2) for weight, some in samples])
        return fit(trainer, samples, *rest)

    monkeypatch.setattr(Trainer, "fit", spy)
    sizes = [done.board_size for done in learn(tmp_path, 96)]
    for k, seen in enumerate(given):
        assert seen == [(size, size) for size in sorted(set(sizes[: k + 1]))]
    assert len(given[-1]) == 2


def test_a_signal_while_the_state_is_written_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception within its writing of a file, torch replaces by one of its own."""

    class Interrupting(io.BytesIO):
        writes = 0

        def write(self, data: Any) -> int:
            self.writes += 1
            if self.writes == 2:
                signal.raise_signal(signal.SIGINT)
            return super().write(data)

    file = Interrupting()
    monkeypatch.setattr(run_folder, "atomic_file", lambda _: nullcontext(file))
    folder = run_folder.RunFolder(tmp_path / "run")
    with pytest.raises(Interrupted), interrupts_raised():
        folder.save_state({"weights": torch.arange(1000)})
    folder.close()
    file.seek(0)
    assert torch.load(file, weights_only=True)["weights"].sum() == 499_500


def test_a_state_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    learn(tmp_path / "run", 12)
    torch.save({"trainer": Trap()}, tmp_path / "run" / "state.pt")
    with pytest.raises(StoreError):
        Learner(tmp_path / "run", SMALL, resume=True, device=TEST_DEVICE)
    assert not (tmp_path / "sprung").exists()


def test_damaged_states_are_named(tmp_path: Path) -> None:
    """Torch has many ways to say that a file is damaged, and of most damages it says nothing."""
    learn(tmp_path / "run", 12)
    whole = (tmp_path / "run" / "state.pt").read_bytes()
    draw = random.Random(0)
    refused = 0
    with RunFolder(tmp_path / "other") as folder:
        path = tmp_path / "other" / "state.pt"
        path.write_bytes(whole)
        right = as_bytes(folder.load_state())
        for number in range(300):
            damaged = bytearray(whole)
            # The first kilobytes say what the rest is.
            damaged[draw.randrange(len(whole) if number % 2 else 4000)] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            try:
                assert as_bytes(folder.load_state()) == right
            except StoreError:
                refused += 1
    assert refused > 200


def as_bytes(state: Any) -> bytes:
    """The same for equal states."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def counted(rows: int, first: int) -> Samples:
    """Samples that can be told apart by their values."""
    values = torch.arange(first, first + rows).float()
    planes = torch.zeros(rows, 2, 5, 5, dtype=torch.uint8)
    return Samples(planes, torch.zeros(rows, 9), values, values)


def test_windows_keep_the_latest_whole_rounds_and_can_be_filled_again() -> None:
    window, rounds, first = Window(), [], 0
    draw = random.Random(0)
    for _ in range(60):
        rounds.append(counted(draw.randint(500, 4000), first))
        first += len(rounds[-1])
        window.add(rounds[-1])
        assert window.seen == first
        kept = window.samples.values
        assert len(kept) == len(window)
        assert torch.equal(kept, torch.arange(first - len(kept), first).float())
        assert len(kept) >= min(first, limit(first))
        again = Window()
        again.refill(reversed(rounds), first)
        assert torch.equal(again.samples.values, kept)
    assert len(window) < first
    assert (limit(0), limit(10**9)) == (LEAST, MOST)


def test_schedules() -> None:
    settings = LearnSettings(board_sizes=(5, 7, 9), learning_rate=1.0)
    joined = [joined_sizes(settings, done) for done in (0.0, 0.19, 0.2, 0.39, 0.4, 1.0, 7.0)]
    assert [len(sizes) for sizes in joined] == [1, 1, 2, 2, 3, 3, 3]
    assert joined_sizes(LearnSettings(board_sizes=(7,)), 0.5) == (7,)
    rates = [learning_rate(settings, done) for done in (0.0, 0.5, 1.0, 2.0)]
    assert rates[0] == 1.0
    assert rates[1] == pytest.approx(0.515)
    assert rates[2] == rates[3] == pytest.approx(0.03)
    assert next_size((5, 7, 9), {5: 2.0, 7: 1.0, 9: 1.0}) == 7
    both = Length(games=100, seconds=10.0)
    assert both.done(50, 1.0) == 0.5
    assert both.done(50, 8.0) == 0.8
    assert Length(seconds=10.0).done(50, 1.0) == 0.1


def test_small_boards_are_searched_wider_unless_widths_are_given() -> None:
    sizes = (3, 4, 5, 13)
    widths = [LearnSettings().play_settings(size).search_widths for size in sizes]
    assert widths == [(9, 8), (9, 8), (4, 2), (4, 2)]
    given = LearnSettings(search_widths=(3, 1))
    assert [given.play_settings(size).search_widths for size in sizes] == [(3, 1)] * 4


def test_a_time_ends_a_run(tmp_path: Path) -> None:
    with Learner(tmp_path, SMALL, device=TEST_DEVICE) as learner:
        assert len(list(learner.rounds(Length(seconds=1e-6)))) == 1
        assert not list(learner.rounds(Length(seconds=1e-6)))


def test_a_swap_gives_no_sample_and_random_plies_none(tmp_path: Path) -> None:
    learn(tmp_path, 96)
    games = list(read_games(tmp_path / "games" / "4x4"))
    unsearched = [int((game.search == 0).sum()) for game in games]
    assert min(unsearched) == 1
    assert max(unsearched) > 1
    total = sum(int((game.search > 0).sum()) - game.swapped for game in games)
    assert len(samples_from_games(games)) == total


@pytest.mark.parametrize(
    "change",
    [
        {"board_sizes": ()},
        {"board_sizes": (5, 4)},
        {"board_sizes": (4, 4)},
        {"board_sizes": (2,)},
        {"board_sizes": (3, 20)},
        {"search_widths": ()},
        {"search_widths": (0,)},
        {"channels": 4},
        {"blocks": 0},
        *({name: 0} for name in ("games_per_round", "reuse", "batch", "learning_rate")),
        *({name: math.nan} for name in ("reuse", "learning_rate")),
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        replace(SMALL, **change)


def test_lengths_that_cannot_be_meant_are_refused() -> None:
    for games, seconds in ((None, None), (0, None), (None, 0.0), (None, math.nan), (5, -1.0)):
        with pytest.raises(SettingError):
            Length(games, seconds)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--board-sizes", "7,5"], "7, 5"),
        (["--board-sizes", "x"], "x"),
        (["--search-widths", "3;2"], "3;2"),
        (["--hours", "0"], "0"),
        (["--hours", "nan"], "nan"),
        (["--games", "-3"], "-3"),
        (["--channels", "4"], "channels"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
        (["--reuse", "1e308"], "reuse"),
        (["--games-in-flight", "0"], "in flight"),
        (["--device", "tpu"], "tpu"),
    ],
    ids=str,
)
def test_bad_flags_end_in_one_line(
    flags: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["hex-ai", "learn", "--out", str(tmp_path), *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """Exit status of a command, and all that it said."""
    monkeypatch.setattr(sys, "argv", ["hex-ai", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out + said.err


def test_stored_games_alone_teach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settled, fit = [], Trainer.fit

    def spy(*rest: Any, **more: Any) -> Any:
        settled.extend([more.get("settled", False)] * rest[2])
        return fit(*rest, **more)

    monkeypatch.setattr(fitting, "REPORTED_EVERY", 50)
    learn(tmp_path / "run", 96)
    monkeypatch.setattr(Trainer, "fit", spy)
    folders = [str(tmp_path / "run" / "games" / name) for name in ("3x3", "4x4")]
    path = tmp_path / "net.pt"
    small = ["--channels", "8", "--blocks", "1", "--batch", "32", "--learning-rate", "0.01"]
    status, told = command(
        monkeypatch, capsys, "train", *folders, "--out", str(path), "--passes", "8", *small
    )
    assert status == 0
    steps = [line.split() for line in told.splitlines() if line.startswith("step")]
    policy, value = ([float(words[k]) for words in steps] for k in (5, 7))
    assert policy[-1] < 0.9 * policy[0]
    assert value[-1] < value[0]
    assert load_checkpoint(path).network.config == NetworkConfig(8, 1)
    assert len(settled) > 100
    unsettled = math.ceil(SETTLED_FROM * len(settled))
    assert settled == [k >= unsettled for k in range(len(settled))]
    assert "log odds times" in told.splitlines()[-1]
    assert told.count("log odds times") == 1
    settled.clear()
    again = command(
        monkeypatch, capsys, "train", folders[0], "--out", str(path), "--init", str(path),
        "--passes", "0.1",
    )  # fmt: skip
    assert again[0] == 0
    assert all(settled)
    # A folder that its run has not come to yet is passed over, but not if there is no other.
    waits = tmp_path / "7x7"
    waits.mkdir()
    (waits / "run.json").write_bytes((Path(folders[0]) / "run.json").read_bytes())
    one = ["train", str(waits), "--out", str(path), "--passes", "0.1"]
    assert command(monkeypatch, capsys, *one, folders[0])[0] == 0
    assert "holds no games" in command(monkeypatch, capsys, *one)[1]
    # Games of several sizes in one folder are told apart.
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number, folder in enumerate(folders):
        write_shard(mixed, number, list(read_games(Path(folder))))
    assert command(monkeypatch, capsys, "train", str(mixed), *one[2:])[0] == 0
    # Nor do games that no search was needed for teach anything.
    blind = [
        GameRecord(**vars(game) | {"search": np.zeros_like(game.search)})
        for game in read_games(Path(folders[0]))
    ]
    write_shard(waits, 0, blind)
    assert "holds no plies to learn from" in command(monkeypatch, capsys, *one)[1]
    assert command(monkeypatch, capsys, *one, folders[0])[0] == 0
    for bad in (
        ["--passes", "0"],
        ["--passes", "1e308"],
        ["--batch", "0"],
        ["--batch", str(10**15)],
        ["--learning-rate", "nan"],
        ["--seed", str(2**80)],
        ["--init", str(path), "--channels", "7"],
        ["--init", str(path), "--blocks", "2"],  # one block pools the board
    ):
        assert command(monkeypatch, capsys, "train", *folders, "--out", str(path), *bad)[0] == 2
    assert command(monkeypatch, capsys, "train", str(tmp_path), "--out", str(path))[0] == 6
    for nowhere, code in ((tmp_path / "no" / "net.pt", 4), (tmp_path / "net.bin", 2)):
        found = command(monkeypatch, capsys, "train", *folders, "--out", str(nowhere))
        assert found[0] == code
        assert "step" not in found[1]  # refused before the work


def test_the_ladder_rates_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    learn(tmp_path, 36)
    flags = ["--games", "4", "--checkpoints", "3", "--search-widths", "policy"]
    status, said = command(monkeypatch, capsys, "ladder", str(tmp_path), *flags)
    assert status == 0
    ladder = json.loads((tmp_path / "ladder.json").read_text())
    assert ladder["board_size"] == 4
    assert [rung["games"] for rung in ladder["rungs"]] == [0, 24, 36]
    assert ladder["rungs"][0]["elo"] == 0
    assert said.count(" Elo  ") == 3
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
    assert command(monkeypatch, capsys, "ladder", str(tmp_path / "none"), *flags)[0] == 6
    assert command(monkeypatch, capsys, "ladder", str(tmp_path), "--checkpoints", "1")[0] == 2


def test_the_command_draws_curves_and_goes_on_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    small = ["--board-sizes", "3", "--search-widths", "2", "--channels", "8", "--blocks", "1"]
    flags = ["--out", str(tmp_path), *small, "--games-per-round", "8", "--batch", "16"]
    for games, more in (("16", []), ("24", ["--resume"])):
        assert command(monkeypatch, capsys, "learn", *flags, "--games", games, *more)[0] == 0
    rows = json.loads((tmp_path / "learn.json").read_text())["rounds"]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    points = events.Scalars("loss/value/3x3")
    assert [point.step for point in points] == [8, 16, 24]
    assert [point.value for point in points] == pytest.approx([row["value_loss"] for row in rows])
    assert {"policy/entropy/3x3", "rate/games/3x3"} <= set(events.Tags()["scalars"])
