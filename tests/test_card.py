"""The card of a folder of games: its head, its counts, and that what it tells to run does run."""

import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hex_ai import SelfPlayEngine, load_games
from hex_ai.cli.main import main
from hex_ai.errors import StoreError
from hex_ai.store.card import card


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "run"
    engine = SelfPlayEngine(board_size=4, seed=3, runtime="eager", output_dir=folder)
    assert len(list(engine.generate_games(12))) == 12
    return folder


def test_counts_are_those_of_the_games(run: Path) -> None:
    games, text = load_games(run), card(run, "cc0-1.0")
    assert f"| games | {len(games)}," in text
    assert f"| plies | {len(games.moves)}, {len(games.moves) / 12:.1f} a game |" in text
    red = float((games.winners > 0).float().mean())
    assert f"joins top to bottom | {red:.1%} |" in text
    swaps = float((games.moves == -1).sum()) / 12
    assert f"swapped by Blue | {swaps:.1%} |" in text
    assert "12 join" in text


def test_the_head_names_the_shards_and_nothing_else_is_yaml(run: Path) -> None:
    text = card(run, 'a "licence"')
    opening, head, _ = text.split("---\n", 2)
    assert opening == ""
    assert 'license: "a \\"licence\\""\n' in head
    assert 'size_categories: ["n<1K"]' in head
    (pattern,) = re.findall(r'path: "(.+)"', head)
    assert sum(len(pq.read_table(path)) for path in run.glob(pattern)) == 12


def test_what_it_tells_to_run_does_run(run: Path) -> None:
    text = card(run, "unknown").replace("FOLDER", str(run))
    blocks = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    assert len(blocks) == 2
    found: dict[str, object] = {}
    exec(blocks[0], found)
    assert len(found["games"]) == 12  # type: ignore[arg-type]
    assert len(list(found["samples"])) > 12  # type: ignore[call-overload]
    exec(blocks[1], found)
    assert found["games"].num_rows == 12  # type: ignore[attr-defined]


def test_it_is_written_to_a_file_and_faults_are_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def say(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["hex-ai", "card", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0

    say(run)
    assert capsys.readouterr().out == card(run, "unknown")
    file = tmp_path / "README.md"
    say(run, "--license", "mit", "--out", file)
    assert file.read_text() == card(run, "mit")
    with pytest.raises(StoreError, match="no such folder"):
        card(tmp_path / "nowhere", "mit")
    with pytest.raises(StoreError, match="holds no run"):
        card(tmp_path, "mit")
