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
from forked import Run
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
from hex_ai.training.fitting import FROZEN_NORMS_FROM, FitReport, train
from hex_ai.training.ladder import ladder
from hex_ai.training.learn import learn as learn_run
from hex_ai.training.learn_folder import SUFFIX, RunFolder
from hex_ai.training.learner import Learner, Round
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.schedule import LearnSettings, Length, joined_sizes, learning_rate, next_size
from hex_ai.training.start import NEW_NETWORK
from hex_ai.training.trainer import Trainer
from hex_ai.training.window import LEAST_SAMPLES, MOST_SAMPLES, Window, limit

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
OVERLAPPING = replace(SMALL, overlap=True)


def learn(folder: Path, games: int, settings: LearnSettings = SMALL, **more: Any) -> list[Round]:
    with Learner(folder, settings, device=TEST_DEVICE, **more) as learner:
        return list(learner.rounds(Length(games=games)))


def weights(folder: Path) -> str:
    return load_checkpoint(folder / f"network{SUFFIX}").digest


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
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == [
        f"games-{games:09d}{SUFFIX}" for games in (0, 12, 24, 36, 48, 60, 84, 96)
    ]
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
    assert rounds[0].network == load_checkpoint(kept[0]).digest
    assert weights(tmp_path) not in played.values()


def test_games_in_flight_change_nothing(tmp_path: Path) -> None:
    for flight in (1, 5, 64):
        learn(tmp_path / str(flight), 24, games_in_flight=flight)
    assert len({weights(tmp_path / str(flight)) for flight in (1, 5, 64)}) == 1


@pytest.mark.parametrize("settings", [SMALL, OVERLAPPING], ids=["in turns", "overlap"])
def test_a_run_in_parts_is_the_run_in_one(tmp_path: Path, settings: LearnSettings) -> None:
    """Stopped between rounds and within them, by whoever takes them."""
    whole = learn(tmp_path / "whole", 84, settings)
    parts: list[Round] = []
    for stop in (1, 3, 2):
        with Learner(tmp_path / "parts", settings, resume=True, device=TEST_DEVICE) as learner:
            for done in learner.rounds(Length(games=84)):
                parts.append(done)
                stop -= 1
                if not stop:
                    break
    parts += learn(tmp_path / "parts", 84, settings, resume=True)
    timeless = [
        [replace(done, seconds=0.0, play_seconds=0.0, learn_seconds=0.0) for done in rounds]
        for rounds in (whole, parts)
    ]
    assert timeless[0] == timeless[1]
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


def start(folder: Path, *flags: str) -> Run:
    command = ["learn", "--out", str(folder), "--resume", "--games", "84", "--device", TEST_DEVICE]
    sizes = ["--board-sizes", "3,4", "--search-widths", "3,1", "--channels", "8", "--blocks", "1"]
    return Run(*command, *sizes, "--games-per-round", "12", "--batch", "16", *flags)


def rounds_noted(folder: Path) -> int:
    try:
        return len(json.loads((folder / "learn.json").read_text())["rounds"])
    except FileNotFoundError:
        return 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("overlap", [False, True], ids=["in turns", "overlap"])
def test_kills_at_any_moment_cost_nothing(tmp_path: Path, share: Share, overlap: bool) -> None:
    """Every other stop is an interrupt, which must end in order."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    learn(whole, 84, replace(SMALL, overlap=overlap))
    flags = ["--overlap"] if overlap else []
    draw, seen = random.Random(4), 0
    for number in range(share(2, 20)):
        run = start(cut, *flags)
        seen = rounds_noted(cut)
        while run.status is None and rounds_noted(cut) <= seen:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.15)
        run.send(signal.SIGKILL if number % 2 == 0 else signal.SIGINT)
        _, said = run.wait()
        assert "Traceback" not in said
        if number % 2:
            assert run.status in (0, 130)
        assert rounds_noted(cut) >= seen
    run = start(cut)  # which goes on as the run was begun
    _, said = run.wait()
    assert run.status == 0, said
    assert weights(whole) == weights(cut)
    for size in (3, 4):
        games = [list(read_games(path / "games" / f"{size}x{size}")) for path in (whole, cut)]
        assert [g.moves.tolist() for g in games[0]] == [g.moves.tolist() for g in games[1]]
        assert [g.game_id for g in games[0]] == [g.game_id for g in games[1]]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    learn(folder, 24)
    return folder


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
        {"overlap": True},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_learnt(
    change: dict[str, Any], small_run: Path, tmp_path: Path
) -> None:
    learn(tmp_path, 24, replace(SMALL, **change))
    assert weights(small_run) != weights(tmp_path)
    with pytest.raises(StoreError, match=next(iter(change))):
        Learner(small_run, replace(SMALL, **change), resume=True, device=TEST_DEVICE)


def test_a_run_may_start_from_a_network(tmp_path: Path) -> None:
    first = HexNetwork(NetworkConfig(8, 2))
    digest = save_checkpoint(tmp_path / "first.pt", first)
    as_it_is = replace(SMALL, channels=None, blocks=None)
    rounds = learn(tmp_path / "run", 24, as_it_is, init=tmp_path / "first.pt")
    assert rounds[0].network == digest
    assert load_checkpoint(tmp_path / "run" / f"network{SUFFIX}").network.config == first.config
    # All sizes take part at once.
    assert {done.board_size for done in rounds} == {3, 4}
    other = tmp_path / "run" / f"network{SUFFIX}"
    with pytest.raises(StoreError, match="another network"):
        Learner(tmp_path / "run", as_it_is, init=other, resume=True, device=TEST_DEVICE)
    # The run knows what it began with.
    assert not learn(tmp_path / "run", 24, as_it_is, resume=True)


@pytest.mark.parametrize("shape", [{"channels": 9}, {"blocks": 1}], ids=str)
def test_a_network_to_start_from_keeps_its_shape(shape: dict[str, int], tmp_path: Path) -> None:
    init = tmp_path / "first.pt"
    save_checkpoint(init, HexNetwork(NetworkConfig(8, 2)))
    settings = replace(SMALL, channels=None, blocks=None)
    with pytest.raises(SettingError, match="shape of a network cannot be changed"):
        Learner(tmp_path / "run", replace(settings, **shape), init=init, device=TEST_DEVICE)
    Learner(
        tmp_path / "other", replace(settings, blocks=2), init=init, device=TEST_DEVICE
    ).folder.close()


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
    assert "want hours or games" in command(monkeypatch, capsys, *flags)[1]
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
    assert not (tmp_path / "checkpoints" / f"games-000000048{SUFFIX}").exists()
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
    assert (limit(0), limit(10**9)) == (LEAST_SAMPLES, MOST_SAMPLES)


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


def test_the_search_is_that_of_the_board_size_unless_one_is_given() -> None:
    sizes = (3, 4, 5, 8, 9, 13)
    played = [LearnSettings().play_settings(size) for size in sizes]
    widths = [(9, 8), (9, 8), (4, 2), (4, 2), (6, 2), (6, 2)]
    assert [settings.search_widths for settings in played] == widths
    assert [settings.searched for settings in played] == [1, 1, 1, 1, 0.25, 0.25]
    assert [settings.value_weight for settings in played] == [math.inf] * 4 + [16, 16]
    given = LearnSettings(search_widths=(3, 1), searched=0.5)
    played = [given.play_settings(size) for size in sizes]
    assert {(settings.search_widths, settings.searched) for settings in played} == {((3, 1), 0.5)}


def test_a_time_ends_a_run(tmp_path: Path) -> None:
    with Learner(tmp_path, SMALL, device=TEST_DEVICE) as learner:
        assert len(list(learner.rounds(Length(seconds=1e-6)))) == 1
        assert not list(learner.rounds(Length(seconds=1e-6)))


def test_a_swap_gives_no_sample_and_random_plies_none(stored: list[Path]) -> None:
    games = list(read_games(stored[1]))
    unsearched = [int((game.search == 0).sum()) for game in games]
    assert min(unsearched) == 1
    assert max(unsearched) > 1
    total = sum(int((game.search > 0).sum()) - game.swapped for game in games)
    assert len(samples_from_games(games)) == total


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"board_sizes": ()}, "not ascending"),
        ({"board_sizes": (5, 4)}, "not ascending"),
        ({"board_sizes": (4, 4)}, "not ascending"),
        ({"board_sizes": (2,)}, "board size 2"),
        ({"board_sizes": (3, 20)}, "board size 20"),
        ({"search_widths": ()}, "0 levels"),
        ({"search_widths": (0,)}, "whole numbers from 1"),
        ({"channels": 4}, "channels 4"),
        ({"blocks": 0}, "blocks 0"),
        *(({name: 0}, f"{name} 0") for name in ("games_per_round", "batch")),
        *(({name: 0}, f"{name} 0") for name in ("reuse", "learning_rate")),
        *(({name: math.nan}, f"{name} nan") for name in ("reuse", "learning_rate")),
        ({"reuse": 1e308}, "more than 1000"),
        ({"seed": -1}, "seed -1"),
    ],
    ids=str,
)
def test_invalid_settings_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        replace(SMALL, **change)


def test_invalid_lengths_are_refused() -> None:
    with pytest.raises(SettingError, match="wants a number of games or of hours"):
        Length()
    for games, seconds in ((0, None), (None, 0.0), (None, math.nan), (5, -1.0)):
        with pytest.raises(SettingError, match="is no length of a run"):
            Length(games, seconds)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--board-sizes", "7,5"], "(7, 5) are not ascending"),
        (["--board-sizes", "x"], "'x' is not a list of numbers"),
        (["--search-widths", "3;2"], "'3;2' are not numbers"),
        (["--hours", "0"], "0.0 is no length"),
        (["--hours", "nan"], "nan is no length"),
        (["--games", "-3"], "-3 is no length"),
        (["--channels", "4"], "channels 4"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
        (["--reuse", "1e308"], "reuse 1e+308 is more"),
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


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of games that a run has played on 3 × 3 and on 4 × 4."""
    run, threads = tmp_path_factory.mktemp("run"), torch.get_num_threads()
    torch.set_num_threads(1)
    learn(run, 96)
    torch.set_num_threads(threads)
    return [run / "games" / name for name in ("3x3", "4x4")]


def trained(folders: list[Path], output: Path, passes: float = 0.2, **more: Any) -> str:
    """The digest of a small network trained on these games."""
    small = {"channels": 8, "blocks": 1} if "init" not in more else {}
    settings = {"passes": passes, "batch": 32, "device": TEST_DEVICE} | small | more
    train(folders, output, **settings)
    return load_checkpoint(output).digest


def test_stored_games_alone_teach(
    stored: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "REPORTED_EVERY", 50)
    seen: list[FitReport] = []
    path = tmp_path / "net.pt"
    trained(stored, path, 8, learning_rate=0.01, report=seen.append)
    assert seen[-1].learnt.policy < 0.9 * seen[0].learnt.policy
    assert seen[-1].learnt.value < seen[0].learnt.value
    first, last = seen[0].measured, seen[-1].measured
    assert first is not None
    assert last is not None
    assert last.policy < first.policy
    assert load_checkpoint(path).network.config == replace(NEW_NETWORK, channels=8, blocks=1)
    # Calibrated once, at the end.
    assert [done.factor is None for done in seen] == [True] * (len(seen) - 1) + [False]
    assert [done.step == done.steps for done in seen] == [False] * (len(seen) - 1) + [True]


def test_norms_are_frozen_for_the_last_steps_and_with_a_start_for_all(
    stored: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, fit = [], Trainer.fit

    def spy(*rest: Any, frozen_norms: bool) -> Any:
        frozen.extend([frozen_norms] * rest[2])
        return fit(*rest, frozen_norms=frozen_norms)

    monkeypatch.setattr(Trainer, "fit", spy)
    path = tmp_path / "net.pt"
    trained(stored, path, 1)
    assert len(frozen) > 10
    first = math.ceil(FROZEN_NORMS_FROM * len(frozen))
    assert frozen == [k >= first for k in range(len(frozen))]
    frozen.clear()
    trained(stored, path, 1, init=path)
    assert set(frozen) == {True}


def test_a_folder_that_its_run_has_not_come_to_is_passed_over(
    stored: list[Path], tmp_path: Path
) -> None:
    waits = tmp_path / "7x7"
    waits.mkdir()
    (waits / "run.json").write_bytes((stored[0] / "run.json").read_bytes())
    path = tmp_path / "net.pt"
    assert trained([waits, stored[0]], path) == trained([stored[0]], path)
    with pytest.raises(StoreError, match="7x7: holds no games"):
        trained([waits], path)


def test_games_of_several_sizes_in_one_folder_are_told_apart(
    stored: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "mixed").mkdir()
    for number, folder in enumerate(stored):
        write_shard(tmp_path / "mixed", number, list(read_games(folder)))
    path = tmp_path / "net.pt"
    assert trained([tmp_path / "mixed"], path) == trained(stored, path)
    assert trained(stored[:1], path) != trained(stored, path)


def test_games_that_no_search_was_needed_for_teach_nothing(
    stored: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "blind").mkdir()
    blind = [
        GameRecord(**vars(game) | {"search": np.zeros_like(game.search)})
        for game in read_games(stored[0])
    ]
    write_shard(tmp_path / "blind", 0, blind)
    path = tmp_path / "net.pt"
    with pytest.raises(StoreError, match="holds no plies to learn from"):
        trained([tmp_path / "blind"], path)
    assert trained([tmp_path / "blind", stored[0]], path) == trained(stored[:1], path)


@pytest.mark.parametrize(
    "change",
    [{"passes": 0.3}, {"batch": 16}, {"learning_rate": 0.01}, {"seed": 1}, {"blocks": 2}],
    ids=str,
)
def test_every_setting_of_training_changes_what_is_learnt(
    change: dict[str, Any], stored: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "net.pt"
    assert trained(stored, path, **change) != trained(stored, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"passes": 0.0}, "passes 0.0 is not a positive"),
        ({"passes": 1e308}, "are more than"),
        ({"batch": 0}, "batch 0 is outside"),
        ({"batch": 10**15}, "batch 1000000000000000 is outside"),
        ({"learning_rate": math.nan}, "learning rate nan"),
        ({"seed": 2**80}, "seed 12"),
        ({"channels": 7}, "channels 7"),
    ],
    ids=str,
)
def test_invalid_settings_of_training_are_refused(
    change: dict[str, Any],
    said: str,
    stored: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, "fit", None)  # refused before the work
    with pytest.raises(SettingError, match=said):
        train(stored, **{"output": tmp_path / "net.pt"} | change)
    assert not (tmp_path / "net.pt").exists()


def test_the_command_trains_as_python_does(
    stored: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[FitReport] = []
    digest = trained(stored, tmp_path / "net.pt", seed=3, report=seen.append)
    flags = ["--passes", "0.2", "--batch", "32", "--channels", "8", "--blocks", "1", "--seed", "3"]

    def ended(folder: Path, output: Path) -> tuple[int, str]:
        folders = [str(folder / path.name) for path in stored]
        flags_here = [*flags, "--device", TEST_DEVICE, "--out", str(output)]
        return command(monkeypatch, capsys, "train", *folders, *flags_here)

    status, said = ended(stored[0].parent, tmp_path / "other.pt")
    assert status == 0
    assert load_checkpoint(tmp_path / "other.pt").digest == digest
    assert f"step {seen[-1].steps} of {seen[-1].steps}  policy {seen[-1].learnt.policy:.3f}" in said
    assert f"log odds times {seen[-1].factor:.2f}" in said
    assert ended(tmp_path, tmp_path / "other.pt")[0] == 6
    status, said = ended(stored[0].parent, tmp_path / "no" / "net.pt")
    assert status == 4
    assert "step" not in said  # refused before the work


def test_the_ladder_rates_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    learn(tmp_path, 36)
    flags = ["--games", "4", "--checkpoints", "3", "--search-widths", "policy"]
    status, said = command(monkeypatch, capsys, "ladder", str(tmp_path), *flags)
    assert status == 0
    written = json.loads((tmp_path / "ladder.json").read_text())
    assert written["board_size"] == 4
    assert [rung["games"] for rung in written["rungs"]] == [0, 24, 36]
    assert written["rungs"][0]["elo"] == 0
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")
    told: list[str] = []
    rungs = ladder(tmp_path, games=4, checkpoints=3, search_widths=(), report=told.append).rungs
    assert [vars(rung) for rung in rungs] == written["rungs"]
    assert len(told) == 3
    assert all(line in said for line in told)
    for rung in rungs:
        assert f"{rung.elo:+7.0f} ± {rung.spread:3.0f} Elo  {rung.games:8d} games" in said
    with pytest.raises(StoreError, match="no run of learning"):
        ladder(tmp_path / "none")
    with pytest.raises(SettingError, match="1 checkpoints make no ladder"):
        ladder(tmp_path, checkpoints=1)


def test_the_ladder_has_players_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    learn(tmp_path, 24)
    openings = tmp_path / "openings.json"
    openings.write_text('[["a1"], ["b2"], ["d4"]]')
    flags = ["--opponent", "random", "--opponent", "shipped@policy", "--openings", str(openings)]
    widths = ["--search-widths", "policy", "--checkpoints", "2"]
    status, said = command(monkeypatch, capsys, "ladder", str(tmp_path), *flags, *widths)
    assert status == 0
    written = json.loads((tmp_path / "ladder.json").read_text())
    assert [one["name"] for one in written["opponents"]] == ["random", "shipped@policy"]
    for one in written["opponents"]:
        assert f"{one['elo']:+7.0f} ± {one['spread']:3.0f} Elo  {one['name']}" in said
    assert written["opponents"][1]["elo"] > written["opponents"][0]["elo"]
    assert said.count(" of 6 won") == 5, "each of two checkpoints meets both, and one another"
    status, said = command(monkeypatch, capsys, "ladder", str(tmp_path), "--opponent", "nobody")
    assert status == 4
    assert "nobody" in said.splitlines()[-1]


def test_the_command_learns_as_python_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, float]] = []
    learnt = learn_run(
        tmp_path / "one",
        board_sizes=[3],
        games=48,
        search_widths=(2, 1),
        searched=0.75,
        channels=8,
        blocks=1,
        games_per_round=16,
        reuse=2.0,
        batch=8,
        learning_rate=0.01,
        seed=5,
        overlap=True,
        games_in_flight=7,
        device=TEST_DEVICE,
        report=lambda done, share: seen.append((done.games, share)),
    )
    assert learnt.games == 48
    notes = json.loads((tmp_path / "one" / "learn.json").read_text())
    assert notes["length"] == {"games": 48, "seconds": None}
    assert notes["settings"] == {
        "board_sizes": [3],
        "search_widths": [2, 1],
        "searched": 0.75,
        "channels": 8,
        "blocks": 1,
        "games_per_round": 16,
        "reuse": 2.0,
        "batch": 8,
        "learning_rate": 0.01,
        "seed": 5,
        "overlap": True,
    }
    assert seen == [(16, 1 / 3), (32, 2 / 3), (48, 1.0)]
    flags = ["--board-sizes", "3", "--games", "48", "--search-widths", "2,1", "--channels", "8"]
    more = ["--blocks", "1", "--games-per-round", "16", "--reuse", "2", "--batch", "8"]
    last = ["--searched", "0.75", "--learning-rate", "0.01", "--seed", "5", "--overlap"]
    out = str(tmp_path / "other")
    flags += ["--device", TEST_DEVICE, "--out", out]
    status, said = command(monkeypatch, capsys, "learn", *flags, *more, *last)
    assert status == 0
    assert f"48 games; the network is {out}/network{SUFFIX}" in said
    assert weights(tmp_path / "other") == load_checkpoint(learnt.network).digest


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
