"""The data set card of a run: its head, its figures, and that what it shows runs."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hex_ai.cli import main
from hex_ai.errors import RecordError, SettingError, StoreError
from hex_ai.game.records import RED, SWAP
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store import card
from hex_ai.store.run_folder import load_games, shard_paths

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of nine games in two shards, of three and six."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = HexNetwork(NetworkConfig(8, 1))
    for games in (3, 9):
        engine = SelfPlayEngine(
            model=network,
            board_size=3,
            seed=3,
            search_widths=(2, 2),
            runtime="eager",
            device="cpu",
            output_dir=tmp_path / "run",
            resume=True,
        )
        list(engine.generate_games(games))
    assert len(shard_paths(tmp_path / "run")) == 2
    return tmp_path / "run"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `hex-ai card` with arguments, in this process: its status, output and complaint."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hex-ai", "card", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return command


def rows_of(text: str) -> dict[str, str]:
    """The rows of the card's tables, without the marks of code."""
    rows = re.findall(r"^\| (\S.*?) \| (.*) \|$", text, re.MULTILINE)
    return {name.strip("`"): value.strip("`") for name, value in rows}


def change(path: Path, part: str, **entries: Any) -> None:
    """Changes a part of a JSON file."""
    data = json.loads(path.read_text())
    data[part] |= entries
    path.write_text(json.dumps(data))


def test_the_head_is_what_the_hub_reads(folder: Path, run: Command) -> None:
    yaml = pytest.importorskip("yaml")
    status, text, _ = run(folder, "--license", "cc0-1.0")
    assert status == 0
    empty, head, _ = text.split("---\n", 2)
    assert empty == ""
    assert yaml.safe_load(head) == {
        "license": "cc0-1.0",
        "pretty_name": "Hex self-play on 3 × 3, 9 games",
        "task_categories": ["reinforcement-learning"],
        "tags": ["hex", "board-games", "self-play"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "games-*.parquet"}],
            }
        ],
    }


def test_figures_are_those_of_the_games(folder: Path, run: Command) -> None:
    games = load_games(folder)
    rows = rows_of(run(folder)[1])
    plies = games.first_ply.diff()
    assert rows["games"].startswith("9, ")
    assert rows["plies"] == str(len(games.moves))
    mean = f"{len(games.moves) / 9:.1f}"
    assert rows["length in plies"] == f"{mean} on average, {plies.min()} to {plies.max()}"
    assert rows["won by Red"] == f"{(games.winners == RED).double().mean():.1%}"
    assert rows["swapped"] == f"{int((games.moves == SWAP).sum()) / 9:.1%}"
    assert Counter(games.ends) == {"join": int(rows["ended by a chain from edge to edge"])}
    told = json.loads((folder / "run.json").read_text())
    assert rows["network, SHA-256"] == told["network"]["digest"]
    assert rows["board"] == "3 × 3"
    for part in ("settings", "plan"):
        assert told[part].keys() <= rows.keys()
    assert rows["made with hex_ai"] == told["package_version"]
    assert (rows["search widths"], rows["seed"]) == ("[2, 2]", "3")


def test_what_it_shows_runs(
    folder: Path,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(folder, "--out", folder / "README.md") == (0, "", "")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text == run(folder)[1]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    tensors, positions, table = capsys.readouterr().out.splitlines()
    assert tensors == f"9 games of {len(load_games(folder).moves)} plies"
    assert positions.startswith("torch.Size([2, 5, 5]) torch.Size([9])")
    assert table.startswith("9 games: ['game_id', ")


def test_it_says_how_far_the_run_is(folder: Path) -> None:
    def state() -> str:
        return rows_of(card.data_set_card(folder, "unknown"))["state of the run"]

    assert state() == "finished"
    shard_paths(folder)[1].unlink()
    assert state() == "not whole: 3 of 9 games"
    (folder / "summary.json").unlink()
    assert state().startswith("not finished")
    change(folder / "run.json", "network", learnt_in="learn.json")
    assert state().startswith("part of a run of learning")


@pytest.mark.parametrize(
    ("rows", "size"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "1B<n<10B")],
)
def test_the_class_of_size_is_by_games(rows: int, size: str) -> None:
    counts = card.RunCounts({"games": rows}, 0, (), "finished")
    assert f'size_categories:\n- "{size}"' in card._head("", "unknown", counts)


def test_nothing_is_described_that_is_not_there(folder: Path, run: Command, tmp_path: Path) -> None:
    out = tmp_path / "README.md"
    for where, said in ((tmp_path / "none", "no such folder"), (tmp_path, "holds no run")):
        status, text, complaint = run(where, "--out", out)
        assert (status, text) == (StoreError.exit_status, "")
        assert complaint == f"error: {where}: {said}\n"
    assert not out.exists()
    with pytest.raises(SettingError, match="CC 0"):
        card.data_set_card(folder, "CC 0\nx: y")
    change(folder / "run.json", "settings", board_size=4)
    with pytest.raises(RecordError, match="of another board size"):
        card.data_set_card(folder, "unknown")
    for path in shard_paths(folder):
        path.unlink()
    with pytest.raises(StoreError, match="holds no games"):
        card.data_set_card(folder, "unknown")


def test_a_run_of_learning_is_told_by_its_board_sizes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    folder.rename(tmp_path / "games" / "3x3")
    with pytest.raises(StoreError, match=r"holds no run; name one of \S*games/3x3$"):
        card.data_set_card(tmp_path, "unknown")
