"""The examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

from hex_ai import SelfPlayEngine, load_checkpoint

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_of_ones_own_is_saved_and_plays(tmp_path: Path) -> None:
    lines = run("own_network.py", tmp_path).splitlines()
    assert sorted(int(line.split()[1][:-1]) for line in lines) == [0, 1, 2, 3]
    assert all(re.fullmatch(r"game \d: \d+ moves, winner [+-]1", line) for line in lines)
    sys.path.insert(0, str(EXAMPLES))
    try:
        import own_network  # noqa: F401
    finally:
        sys.path.pop(0)
    assert load_checkpoint(tmp_path / "tiny.safetensors").config == {"channels": 32}


def test_games_are_read_as_tensors(tmp_path: Path) -> None:
    engine = SelfPlayEngine(board_size=5, seed=1, runtime="eager", output_dir=tmp_path / "games")
    games = list(engine.generate_games(20))
    first, second, third = run("read_games.py", tmp_path, "games").splitlines()
    assert first == "20 games on 5 × 5"
    assert second == f"Red won {sum(game.winner > 0 for game in games) / 20:.1%}"
    error = total = 0.0
    for game in games:
        for ply, (value, searched) in enumerate(zip(game.values, game.search, strict=True)):
            total += bool(searched)
            error += searched * abs(float(value) - game.winner * (-1) ** ply)
    assert third == f"{total:.0f} searched plies, mean |value - outcome| {error / total:.2f}"


def test_a_match_is_played_from_python(tmp_path: Path) -> None:
    found = re.match(r"(\d+) of 10 won, ", run("match.py", tmp_path))
    assert found is not None
    assert int(found[1]) >= 8
