"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def lines_of(name: str, *arguments: object) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_a_network_of_ones_own_plays_games_that_are_read_as_tensors(tmp_path: Path) -> None:
    played = [line.split() for line in lines_of("own_network.py", tmp_path / "own")]
    assert sorted(int(game_id) for game_id, _, _ in played) == list(range(10))
    first, *cells, last = lines_of("read_games.py", tmp_path / "own" / "games")
    plies = sum(int(length) for _, length, _ in played)
    assert first == f"10 games of 5x5, {plies} plies"
    assert len(cells) == 5
    assert sum(int(line.split()[1]) for line in cells) <= 10
    assert last.startswith("mean |value| of the ")


def test_a_match_from_python() -> None:
    score, *games = lines_of("play_match.py", 4)
    assert " of 4 won, " in score
    assert [line.split(":")[0] for line in games] == ["game 0", "game 1", "game 2"]
