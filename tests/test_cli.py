"""The commands: what they print, and one line with a status that is not 0 for every fault.

Run in this process where that is possible. Everything is seeded.
"""

import json
import os
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Run

from hex_ai import __version__
from hex_ai.bench.modes import MODES
from hex_ai.cli import games, main, progress
from hex_ai.formats.games import game_of, read_line
from hex_ai.formats.sgf import read_sgf
from hex_ai.formats.text import board_text
from hex_ai.formats.trmph import read_trmph
from hex_ai.game.notation import cell_name
from hex_ai.game.records import BLUE, RED
from hex_ai.interrupts import Interrupted
from hex_ai.network.checkpoint import save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.selfplay import selfplay_engine
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store.replay import replay
from hex_ai.store.run_folder import GameStore, read_games, read_run, shard_paths

SCRIPT = Path(__file__).parents[1] / "scripts" / "run_large_selfplay.py"


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `hex-ai` with arguments, in this process."""

    def command(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["hex-ai", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        status = ended.value.code
        assert isinstance(status, int)
        return Ended(status, *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        path = tmp_path_factory.mktemp("model") / "tiny.pt"
        save_checkpoint(path, HexNetwork(NetworkConfig(8, 1)), {})
    return path


@pytest.fixture
def flags(model: Path) -> list[str]:
    """Of a quick `selfplay`."""
    tiny = ["--model", str(model), "--runtime", "eager", "--precision", "float32"]
    return ["selfplay", *tiny, "--board-size", "3", "--num-games", "6"]


@pytest.fixture
def folder(run: Command, flags: list[str], tmp_path: Path) -> Path:
    assert run(*flags, "--out", tmp_path / "run").status == 0
    return tmp_path / "run"


def refused(ended: Ended, *named: str) -> None:
    """One line on standard error that says what is wrong, and a status that is not 0."""
    assert ended.status != 0
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    for name in named:
        assert name in line
    assert "Traceback" not in ended.out + ended.err


def test_help_and_version(run: Command) -> None:
    assert run("--version") == Ended(0, f"hex-ai {__version__}\n", "")
    ended = run("--help")
    assert (ended.status, ended.err) == (0, "")
    assert run() == ended
    for name, (_, line) in main.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line[:30])}", ended.out, re.MULTILINE)
        shown = run(name, "--help")
        assert shown.status == 0
        assert line in " ".join(shown.out.split()), "what the command itself says is the same"


def test_the_list_of_commands_cuts_nothing(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = " ".join(run("--help").out.partition("Commands:")[2].split())
    assert shown == " ".join(f"{name} {line}" for name, (_, line) in main.COMMANDS.items())


def limited(kind: int, limit: int, *arguments: object) -> Ended:
    """Runs `hex-ai` in a process of its own under a limit, set when Python is up."""
    code = f"import resource; resource.setrlimit({kind}, ({limit}, {limit}))\n"
    code += "from hex_ai.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("kind", "limit", "said"),
    [(resource.RLIMIT_AS, 3 * 10**8, "ulimit -v"), (resource.RLIMIT_NOFILE, 4, "open files")],
)
def test_a_process_that_may_take_little_says_so(
    kind: int, limit: int, said: str, flags: list[str], tmp_path: Path
) -> None:
    refused(limited(kind, limit, *flags, "--out", tmp_path / "run"), said)


def test_a_damaged_shard_is_played_again_once_it_is_deleted(
    run: Command, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hex_ai.selfplay.shard_writer.SHARD_GAMES", 2)
    folder = tmp_path / "run"
    command = [*flags, "--out", folder, "--games-in-flight", 1, "--resume"]
    assert run(*command).status == 0
    want = run("export", folder).out
    shards = shard_paths(folder)
    assert len(shards) == 3
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:-100])
        for bad in (["export", folder], ["verify", folder], command):
            refused(run(*bad), f"{shard}: ", "delete it", "--resume")
        shard.unlink()
        assert run(*command).status == 0
        assert run("export", folder).out == want
        assert run("verify", folder).out == "6 games, no faults, complete\n"


@pytest.mark.parametrize("command", ["export", "train"])
def test_games_that_are_there_twice_are_refused(
    command: str, run: Command, folder: Path, flags: list[str], tmp_path: Path
) -> None:
    (shard,) = shard_paths(folder)
    shutil.copy(shard, folder / "games-000007.parquet")
    more = ["--out", tmp_path / "net.safetensors"] if command == "train" else []
    for bad in ([command, folder, *more], [*flags, "--out", folder, "--resume"]):
        ended = run(*bad)
        refused(ended, "games-000007.parquet", "is stored twice, in games-000000.parquet too")
        assert ended.status == 7


@pytest.mark.parametrize("width", [79, 59, 39])
@pytest.mark.parametrize("games", [200, 500_000])
def test_progress_keeps_what_matters_most_on_narrow_terminals(width: int, games: int) -> None:
    stats: dict[str, Any] = dict.fromkeys(
        ("moves_per_s", "mean_game_length", "mean_batch", "hit_rate", "evaluations_per_s"), 0.5
    )
    stats |= {"games": 36, "finished_games": 90, "games_to_play": games, "seconds": 30.0}
    stats["device_utilization"] = None
    count, bar, text = progress.fitted(stats, width)
    assert count.startswith(f"36/{games}")
    assert text.startswith("ETA ")
    assert bar >= progress.LEAST_BAR
    assert len(f"{count} {' ' * bar} {text}") <= width
    assert width < 50 or count == f"36/{games} stored, 90 finished"
    wide = progress.fitted(stats, 200)[2]
    assert "games/s" in wide
    assert "evaluations/s" in wide


@pytest.mark.parametrize("runtime", ["compiled", "eager"])
def test_off_a_terminal_a_long_preparation_is_told_of(
    runtime: str, run: Command, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing but the refusal of a run that is refused before it."""
    monkeypatch.setattr("hex_ai.inference.planned_network.forward_of", lambda network, _: network)
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.001)
    prepare = SelfPlayEngine.prepare

    def slow(engine: SelfPlayEngine) -> Any:
        plan = prepare(engine)
        time.sleep(0.2)
        return plan

    monkeypatch.setattr(SelfPlayEngine, "prepare", slow)
    flags = [*flags, "--runtime", runtime]
    assert run(*flags).err == ("preparing the network\n" if runtime == "compiled" else "")
    many = ["--num-games", 2**24, "--games-in-flight", 2**24, "--board-size", 19]
    refused(run(*flags, *many), "GB of memory")


def test_help_comes_without_torch() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from hex_ai.cli.main import main\n"
    code += (
        "try: main()\nfinally: assert 'torch' not in sys.modules and 'pyarrow' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_selfplay_stores_games_and_says_what_they_came_to(folder: Path, run: Command) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["first_game"], summary["num_games"]) == (0, 6)
    assert summary["games"]["games"] == 6
    assert summary["performance"]["evaluations"] > 0
    exported = run("export", folder)
    assert (exported.status, exported.err) == (0, "")
    lines = exported.out.splitlines()
    games = list(read_games(folder))
    assert [(read_trmph(line).moves, read_trmph(line).winner) for line in lines] == [
        (tuple(game.moves.tolist()), game.winner) for game in games
    ]
    assert run("export", folder, "--format", "trmph").out == exported.out
    assert run("verify", folder).out == "6 games, no faults, complete\n"


def test_selfplay_without_a_folder_prints_the_games_figures(run: Command, flags: list[str]) -> None:
    ended = run(*flags, "--num-workers", 2, "--no-swap", "--opening", "empty", "--temperature", 1)
    assert (ended.status, ended.err) == (0, "")
    assert "6 games, " in ended.out
    assert "swapped 0.0%" in ended.out
    assert run(*flags[:-1], "0").out.strip() == "no games"


def test_resume_plays_the_rest_only(folder: Path, run: Command, flags: list[str]) -> None:
    before = run("export", folder).out
    refused(run(*flags, "--out", folder), str(folder), "--resume")
    more = [*flags[:-1], "9", "--out", folder, "--resume"]
    assert "9 games, " in run(*more).out
    assert run("export", folder).out.startswith(before)
    refused(run(*more, "--seed", "1"), str(folder), "seed")
    summary = (folder / "summary.json").read_bytes()
    refused(run(*flags, "--out", folder, "--resume"), str(folder), "6")
    # Neither that nor a run that is complete already takes away what was measured.
    assert run(*more).status == 0
    assert (folder / "summary.json").read_bytes() == summary
    assert run("verify", folder).out == "9 games, no faults, complete\n"


def test_a_run_of_another_version_is_not_gone_on_with(
    folder: Path, run: Command, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfplay_engine, "__version__", "99")
    refused(run(*flags, "--out", folder, "--resume"), str(folder), __version__, "99")


def test_lack_of_memory_names_what_takes_it(
    run: Command, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: GameBatch) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99 bytes")

    monkeypatch.setattr(GameBatch, "step", step)
    refused(run(*flags, "--games-in-flight", 5), "out of memory", "5 games in flight", "3,2")


def test_what_is_no_regular_file_is_written_to_and_stays(run: Command, tmp_path: Path) -> None:
    drawing, link, pipe = (tmp_path / name for name in ("a.svg", "link.svg", "pipe"))
    drawing.write_text("old")
    link.symlink_to(drawing)
    assert run("show", "#3,a1b2a3", "--svg", link).status == 0
    assert link.is_symlink()
    assert drawing.read_text().startswith("<svg")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run("show", "#3,a1b2a3", "--svg", pipe).status == 0
    assert os.read(reader, 4) == b"<svg"
    os.close(reader)
    assert pipe.is_fifo()
    refused(run("show", "#3,a1b2a3", "--svg", tmp_path), str(tmp_path))


QUICK_MATCH = ["match", "random", "random", "--games", "2", "--board-size", "3", "--save"]


def test_a_reader_of_a_pipe_gets_the_result(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader,
    ):
        process = Run(*QUICK_MATCH, str(pipe))
        process.wait()
        assert process.status == 0
        assert len(reader.communicate(timeout=60)[0].splitlines()) == 2


def test_nobody_needs_to_read_the_progress(tmp_path: Path) -> None:
    """Each round tells a line on standard error, to a pipe that nobody reads any more."""
    sizes = ["--board-sizes", "3", "--channels", "8", "--blocks", "1"]
    rounds = ["--games", "12", "--games-per-round", "4", "--out", str(tmp_path / "run")]
    process = Run("learn", *sizes, *rounds)
    process.stderr.close()
    out, _ = process.wait()
    assert out.startswith("12 games; ")
    assert process.status == 0
    process = Run("export", "/nowhere")
    process.stderr.close()
    process.wait()
    assert process.status == 6


def test_one_line_is_one_game(run: Command) -> None:
    refused(run("show", "#3,a1", "--game", 7), "#3,a1", "7")
    assert read_line("#11") == read_line("https://hexworld.org/board/#11")


def test_names_with_brackets_are_said_as_they_are(
    run: Command, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(SelfPlayEngine, "generate_games", stop)
    ended = run(*flags, "--out", tmp_path / "games[lr=0.1][/x]")
    assert ended.status == 130
    assert f"{tmp_path}/games[lr=0.1][/x], --resume" in ended.err


@pytest.mark.parametrize(
    ("closed", "status", "said"),
    [(">&-", 6, "error: standard output is closed\n"), ("2>&-", 0, ""), (">&- 2>&-", 6, "")],
)
def test_closed_standard_streams_end_in_order(closed: str, status: int, said: str) -> None:
    command = [sys.executable, "-c", "from hex_ai.cli.main import main; main()", "--version"]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr.decode()) == (status, said)


def test_show_draws_the_board(run: Command, folder: Path) -> None:
    drawing = "  a b c\n 1 ● · · 1\n  2 · ○ · 2\n   3 ● · · 3\n      a b c"
    position = replay(3, read_trmph("#3,a1b2a3").moves)[-1]
    assert board_text(position).plain == drawing
    plain = board_text(position, 6)
    assert plain.plain == drawing
    assert any("underline" in str(span.style) for span in plain.spans)
    assert run("show", "#3,a1b2a3").out.startswith(f"{drawing}\n")
    assert run("show", "#3,b1b1a3", "--ply", 2).out.startswith(
        "  a b c\n 1 · · · 1\n  2 ○ · · 2\n   3 · · · 3\n      a b c\n"
    )
    game = next(game for game in read_games(folder) if game.game_id == 2)
    last = board_text(replay(3, game.moves.tolist())[-1]).plain
    shown = run("show", folder, "--game", 2)
    assert shown.out.startswith(last)
    assert f"ply {len(game.moves)} of {len(game.moves)}: " in shown.out
    refused(run("show", folder, "--game", 77), "game 77")
    refused(run("show", folder, "--ply", 99), "ply 99")
    refused(run("show", "#3,a1", "--ply", 2), "ply 2")
    refused(run("show", "#3,a1a2a2"), "a2")
    refused(run("show", "#3,z9"), "z9")


def test_show_reads_links_and_sgf_files(run: Command, tmp_path: Path) -> None:
    drawing = run("show", "#3,b1b1a3").out
    assert drawing.endswith("ply 3 of 3: a3\nnot finished, Blue to move\n")
    assert run("show", "https://hexworld.org/board/#3c1,b1:sa3").out == drawing
    # The same game as the standard and Little Golem write it; where no stone moves, as it stands.
    pieces, sides = "(;GM[11]SZ[3];B[b1];W[swap-pieces];B[a3])", "(;GM[11];B[a1])"
    sides += "\n(;GM[11]SZ[3];B[b1];W[swap-sides];W[c1](;B[a1])(;B[a2]))"
    (tmp_path / "pieces.sgf").write_text(pieces)
    (tmp_path / "sides.SGF").write_text(sides)
    (tmp_path / "golem.hsgf").write_bytes(b"(;SZ[3]PB[\xe9];W[ba];B[swap];W[ac])")
    for source in (tmp_path / "pieces.sgf", tmp_path / "golem.hsgf", pieces):
        assert run("show", source).out == drawing
    shown = run("show", tmp_path / "sides.SGF", "--game", 1, "--ply", 3).out
    assert shown.startswith("  a b c\n 1 · ● ○ 1\n  2 · · · 2\n")
    assert "ply 3 of 4: c1\nthe players have changed sides, and no stone has moved\n" in shown
    refused(run("show", tmp_path / "sides.SGF", "--game", 2), "sides.SGF", "2 games", "game 2")
    refused(run("show", tmp_path / "none.sgf"), "none.sgf: no such file")
    refused(run("show", tmp_path), str(tmp_path), "holds no games")
    (tmp_path / "bad.sgf").write_text("(;GM[11]\n;B[z9])")
    ended = run("show", tmp_path / "bad.sgf")
    refused(ended, "bad.sgf", "game 0", "line 2, column 3", "z9")
    assert ended.status == 3
    refused(run("show", "#2,a1b1a2b2"), "ply 4 is illegal")


@pytest.mark.parametrize(
    "link",
    [
        "hexworld.org/board/#5c1,b1c3",
        "https://hexworld.org/board/%235c1%2Cb1c3",
        "HTTP://WWW.HexWorld.org/board#5,b1,c3",
        "www.trmph.com/hex/board#5,b1c3",
        "trmph.com/hex/board/5,b1c3",
        "%235,b1c3",
        "5,b1c3",
    ],
)
def test_show_reads_links_that_lack_something(run: Command, link: str) -> None:
    assert run("show", link) == run("show", "#5,b1c3")
    assert read_line(link) == read_trmph("#5,b1c3")


def test_show_reads_a_file_by_what_it_holds(run: Command, tmp_path: Path) -> None:
    lines = "# some games\n\n#5,b1c3 r\nrubbish\nhexworld.org/board/#5,b1:pc3\n"
    (tmp_path / "games.txt").write_text(lines)
    (tmp_path / "game.sgfs").write_text("\n(;GM[11]SZ[5];B[b1];W[c3])")
    shown = [run("show", tmp_path / "games.txt", "--game", number) for number in range(4)]
    assert shown[0] == run("show", "#5,b1c3 r")
    refused(shown[1], "games.txt: game 1: line 4: 'rubbish' is not a HexWorld link")
    assert shown[2] == run("show", "#5,b1:pc3")
    refused(shown[3], "games.txt: holds 3 games", "no game 3")
    assert run("show", tmp_path / "game.sgfs") == run("show", "#5,b1c3")
    (tmp_path / "empty.txt").write_text("")
    refused(run("show", tmp_path / "empty.txt"), "empty.txt", "is not SGF")


def test_show_says_who_won_and_how(run: Command, tmp_path: Path) -> None:
    over = "#2,a1b1a2"
    file = tmp_path / "game.sgf"
    for source, said in (
        (over, ["Red joined"]),
        ("#3,a1b1 b resign", ["Blue won by resignation"]),
        ("#3,a1b1 r proven", ["Red won by a chain that nothing can stop"]),
        ("#3,a1:pb1", ["not finished, Blue to move"]),
        (
            f"{over}:rb",
            ["Red joined", "after Red had joined come moves that do not count: Red resign"],
        ),
        ("(;GM[11]SZ[3]RE[W+T];B[a1])", ["Blue won on time"]),
        ("(;GM[11]SZ[3]RE[W+];B[a1])", ["Blue won"]),
        (
            "(;GM[11]SZ[2]RE[W+R];B[a1];W[b1];B[a2];W[b2];B[resign])",
            [
                "Red joined",
                "after Red had joined come moves that do not count: Blue b2, Red resign",
                "the result given says that Blue won, but Red did",
            ],
        ),
        (
            "(;GM[11]SZ[3];B[a1];W[b1];B[resign];W[c1])",
            ["Blue won by resignation", "after Blue had won come moves that do not count: Blue c1"],
        ),
    ):
        shown = run("show", source)
        assert shown.out.splitlines()[-len(said) :] == said, shown
        assert f"{said[0]}\n" in shown.out
    file.write_text("(;GM[11]SZ[3];B[a1];W[b1];B[a1])")
    assert run("show", file, "--ply", 2).out.endswith(
        "it cannot be played to its end: move 3, a1, is on an occupied cell\n"
    )
    refused(run("show", file), "game.sgf: game 0: move 3, a1, is on an occupied cell")


def test_show_draws_any_node_of_a_file(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "set up.sgf"
    file.write_text(
        "(;GM[11]SZ[3];AB[a1][b1]AW[c3]PL[W]LB[a1:x][b2:y];B[c1]CR[cb];AE[a1]AW[b2];W[pass];B[a2])"
    )
    boards = {
        0: ("● ● ·", "· · ·", "· · ○", "set-up", "Red to move", "labels: a1 x, b2 y"),
        1: ("● ● ●", "· · ·", "· · ○", "c1", "Blue to move", "circles: c2"),
        2: ("· ● ●", "· ○ ·", "· · ○", "set-up", "Blue to move"),
        3: ("· ● ●", "· ○ ·", "· · ○", "pass", "Red to move"),
        4: ("· ● ●", "● ○ ·", "· · ○", "a2", "not finished, Blue to move"),
    }
    for ply, (*rows, what, turn) in ((p, b[:5]) for p, b in boards.items()):
        shown = run("show", file, "--ply", ply).out
        drawn = [line.split(None, 1)[1].rsplit(None, 1)[0] for line in shown.splitlines()[1:4]]
        assert drawn == rows
        assert f"ply {ply} of 4: {what}\n{turn}" in shown
        assert all(mark in shown for mark in boards[ply][5:])
    refused(run("show", file, "--ply", 5), "ply 5 is outside 0 to 4")
    assert run("show", file, "--svg", tmp_path / "b.svg").status == 0
    assert (tmp_path / "b.svg").read_text().count("<circle") == 6


def test_a_trmph_line_that_names_the_loser_is_refused_or_put_right(
    run: Command, tmp_path: Path
) -> None:
    line = "#2,a1b1a2 b"
    (tmp_path / "games.trmph").write_text(line)
    for source in (line, tmp_path / "games.trmph"):
        refused(run("show", source), "says that Blue won, but on the board Red has joined")
        assert run("show", source, "--winner-from-board").out.endswith("Red joined\n")
    # Nobody has joined: the loser may have given up.
    assert run("show", "#2,a1b1 b").out.endswith("Blue won\n")
    assert run("show", "#2,a1b1 b", "--winner-from-board").out.endswith("Blue won\n")


def test_export_writes_every_format(run: Command, folder: Path, tmp_path: Path) -> None:
    games = [game_of(game) for game in read_games(folder)]
    ended = run("export", folder, "--format", "sgf")
    assert (ended.status, ended.err, len(ended.out.splitlines())) == (0, "", 6)
    assert [game.played() for game in read_sgf(ended.out)] == games
    links = run("export", folder, "--format", "hexworld").out.splitlines()
    assert [read_line(link).moves for link in links] == [game.moves for game in games]
    files = tmp_path / "some" / "files"
    assert run("export", folder, "--format", "sgf", "--out", files) == Ended(0, "", "")
    texts = [(files / f"{game_id}.sgf").read_text() for game_id in range(6)]
    assert "".join(texts) == ended.out
    (tmp_path / "file").write_text("")
    refused(run("export", folder, "--out", tmp_path / "file"), str(tmp_path / "file"))
    refused(run("export", folder, "--format", "pgn"), "pgn", "trmph, sgf, hexworld, html")


def test_games_are_written_as_pages(run: Command, folder: Path, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    assert run("export", folder, "--format", "html", "--out", pages) == Ended(0, "", "")
    texts = [(pages / f"{game_id}.html").read_text() for game_id in range(6)]
    page = tmp_path / "game.html"
    assert run("show", folder, "--game", 4, "--html", page) == Ended(0, "", "")
    assert page.read_text() == texts[4]
    assert run("show", folder, "--game", 4, "--html", page, "--ply", 1).status == 0
    assert '"start":1,' in page.read_text()
    refused(run("show", folder, "--html", page, "--ply", 99), "ply 99")
    refused(run("show", "#3,a1", "--html", tmp_path), str(tmp_path))
    refused(run("export", folder, "--format", "html"), "--out")


def test_export_says_how_stopped_games_ended(run: Command, folder: Path) -> None:
    games, described = list(read_games(folder)), read_run(folder)
    assert described is not None
    next(folder.glob("games-*.parquet")).unlink()
    stopped = [
        replace(games[0], end="resign", winner=RED),
        replace(games[1], end="resign", winner=BLUE),
        replace(games[2], end="proven", winner=RED),
    ]
    with GameStore(folder, described, resume=True) as store:
        store.write(stopped)
    # A link has no sign for a proven win, so it ends with the last cell.
    tail = cell_name(int(games[2].moves[-1]), 3)
    for to, ends in (
        ("trmph", (" r resign", " b resign", " r proven")),
        ("hexworld", (":rw", ":rb", tail)),
        ("sgf", ("RE[B+Resign]", "RE[W+Resign]", "RE[B+Proven]")),
    ):
        lines = run("export", folder, "--format", to).out.splitlines()
        for line, end in zip(lines, ends, strict=True):
            assert end in line if to == "sgf" else line.endswith(end)


TINY_BENCH = "bench --channels 8 --blocks 1 --runtime eager --board-size 3 --search-widths 2,1"


def test_bench_writes_its_figures(run: Command, tmp_path: Path) -> None:
    quick = ["--seconds", "0.01", "--games-in-flight", 3, "--json", tmp_path / "b.json"]
    ended = run(*TINY_BENCH.split(), *quick)
    assert (ended.status, ended.err) == (0, "")
    report = json.loads((tmp_path / "b.json").read_text())
    top = "device precision threads network board_size search_widths raw modes schema_version"
    top += " torch_version package_version processor seed games_in_flight compile_seconds"
    assert set(top.split()) <= set(report)
    assert {"channels", "blocks", "parameters"} <= set(report["network"])
    assert {"evals_per_s", "batch_size", "sweep"} <= set(report["raw"])
    rates = "games_per_s moves_per_s requests_per_s evaluations_per_s mean_batch efficiency"
    rates += " padding_efficiency hit_rate work_saved network_calls_per_move device_utilization"
    assert tuple(report["modes"]) == MODES
    for mode, figures in report["modes"].items():
        assert set(rates.split()) <= set(figures)
        (row,) = (line.split() for line in ended.out.splitlines() if line.startswith(f"  {mode} "))
        assert row[1] == f"{figures['games_per_s']:.2f}"
        assert row[-1] == f"{figures['efficiency']:.3f}"
        assert (figures["hit_rate"] == 0) == (mode != "full")
        assert 0 < figures["network_share"] < 1
        assert figures["hit_rate"] == figures["cache_hit_rate"] + figures["duplicate_rate"]
        low, high = figures["efficiency_range"]
        assert low <= figures["efficiency"] <= high
    assert report["modes"]["plan-style"]["mean_batch"] == 1
    assert report["finite"]["games"] == 12


def test_bench_measures_once_more_only_what_it_is_asked(run: Command, tmp_path: Path) -> None:
    quick = ["--seconds", "0.01", "--modes", "individual", "--no-finite", "--repeats", 2]
    ended = run(*TINY_BENCH.split(), *quick, "--json", tmp_path / "b.json")
    assert (ended.status, ended.err) == (0, "")
    report = json.loads((tmp_path / "b.json").read_text())
    assert list(report["modes"]) == ["individual"]
    assert "finite" not in report


def test_tune_tells_what_it_found_and_where_it_is(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "net.safetensors", HexNetwork(NetworkConfig(8, 1)), {})
    tiny = ["--model", tmp_path / "net.safetensors", "--board-size", 3]
    on_cpu = ["--seconds", "0.001", "--device", "cpu"]
    ended = run("tune", *tiny, *on_cpu)
    assert ended.status == 0
    assert "eager float32, rows/s by batch size: 16: " in ended.out
    path = Path(ended.out.splitlines()[-1].removeprefix("remembered in "))
    assert json.loads(path.read_text())["plan"]["device"] == "cpu"


def test_import_makes_a_checkpoint(run: Command, tmp_path: Path) -> None:
    torch.save(ResNet18(ResNet18Config()).state_dict(), tmp_path / "old.pt")
    ended = run("import", tmp_path / "old.pt", "--out", tmp_path / "new.safetensors")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"{tmp_path / 'new.safetensors'}: resnet18 ")
    assert "taken for a win of the second mover (Blue, left to right)" in ended.out.splitlines()[1]
    (tmp_path / "bad.pt").write_bytes(b"not weights")
    refused(run("import", tmp_path / "bad.pt", "--out", tmp_path / "x.pt"), "bad.pt")
    refused(run("import", tmp_path / "no.pt", "--out", tmp_path / "x.pt"), "no.pt")
    other = ["--architecture", "bogus"]
    refused(run("import", tmp_path / "old.pt", "--out", tmp_path / "x.pt", *other), "bogus")
    refused(run("import", tmp_path / "old.pt", "--out", tmp_path / "no" / "x.pt"), "x.pt")


# What typer says of a word where a number belongs.
NO_NUMBER = "Invalid value for '{}': Input should be a valid"


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        *(("--board-size", size, f"board size {size} is") for size in ("2", "20", "-1")),
        *(("--board-size", size, NO_NUMBER) for size in ("x", "3.5")),
        *(("--search-widths", w, f"search widths ({w[0]},") for w in ("0", "0,2")),
        *(("--search-widths", w, f"search widths '{w}'") for w in ("3,,2", "x", "3;2", "1.5")),
        *(("--temperature", t, f"temperature {t} is") for t in ("nan", "-0.5", "inf")),
        ("--temperature", "1e308", "temperature 1e+308 is"),
        ("--temperature", "hot", NO_NUMBER),
        *(("--seed", seed, f"seed {seed} is") for seed in ("-1", str(2**63))),
        ("--seed", "x", NO_NUMBER),
        *(("--games-in-flight", n, f"games in flight {n} is") for n in ("0", "-4")),
        ("--games-in-flight", "x", NO_NUMBER),
        *(("--num-workers", n, f"workers {n} is") for n in ("0", "-1")),
        *(("--device", d, f"device '{d}' is") for d in ("bogus", "cuda:9")),
        ("--num-games", "-1", "-1 games from number 0 on"),
        *(("--first-game", n, f"6 games from number {n} on") for n in ("-1", str(2**63))),
        *(("--cache-size", n, f"cache size {n} ") for n in ("-1", str(10**12), str(2**64))),
        ("--batch-size", "0", "batch size 0 is"),
        ("--precision", "float8", "precision 'float8' is"),
        ("--runtime", "bogus", "runtime 'bogus' is"),
        ("--opening", "bogus", "opening 'bogus' is"),
        ("--stop", "bogus", "stop rule 'bogus' is"),
        ("--model", "/nowhere/net.pt", "/nowhere/net.pt"),
        ("--model", "/", "/"),
        ("--out", "/dev/null/run", "/dev/null/run: Not a directory"),
        ("--out", None, "Option '--out' requires an argument"),
        ("--resume", None, "resume wants the folder of the run"),
        ("--no-batched-inference", "--num-workers=2", "one position at a time allows for one"),
        ("--bogus", None, "No such option: --bogus"),
        ("extra", None, "Got unexpected extra argument"),
    ],
)
def test_bad_flags_of_selfplay_are_named(
    flag: str, value: str | None, said: str, run: Command, flags: list[str]
) -> None:
    ended = run(*flags, flag, *([] if value is None else [value]))
    refused(ended)
    line = ended.err.removeprefix("error: ").removeprefix("'")
    assert line.startswith(said.format(flag)), line


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("bogus", "No such command 'bogus'"),
        ("export", "Missing argument 'folder'"),
        ("export /nowhere", "/nowhere: no such folder"),
        ("export /nowhere --format bogus", "format 'bogus'"),
        ("export /nowhere --format sgf", "/nowhere: no such folder"),
        ("export /nowhere --out /dev/null/x", "/dev/null/x: "),
        ("verify /nowhere", "/nowhere: no such folder"),
        ("show /nowhere", "/nowhere: no such folder or file"),
        ("show 7", "7: no such folder or file"),
        *((f"show /nowhere/x.{end}", f"/nowhere/x.{end}: no such file") for end in ("hsgf", "txt")),
        ("train /nowhere --out x", "/nowhere: no such folder"),
        ("show a1b2c3", "'a1b2c3': no such file or folder; moves want the size"),
        ("show 11x9,a1", "'#11x9,a1': a board of 11x9 has unequal sides"),
        ("show #9x8,a1", "'#9x8,a1'"),
        ("bench --modes bogus", "mode 'bogus' is"),
        ("bench --seconds 0", "modes, seconds, repeats and games in flight must"),
        ("bench --repeats 0", "modes, seconds, repeats and games in flight must"),
        ("bench --games-in-flight 0", "modes, seconds, repeats and games in flight must"),
        ("bench --search-widths x", "search widths 'x'"),
        ("bench --board-size 2 --runtime eager --channels 8 --blocks 1", "board size 2 is"),
        ("bench --model x --channels 8", "--model and --channels/--blocks exclude"),
        ("bench --channels 1", "channels 1"),
        ("bench --channels 0", "channels 0"),
        ("bench --json /nowhere/bench.json", "/nowhere/bench.json: No such file"),
        ("bench --device bogus", "device 'bogus' is"),
        ("tune --seconds 0", "seconds 0.0 is"),
        ("tune --board-size 2", "board size 2 is"),
    ],
)
def test_other_bad_commands_are_named(bad: str, said: str, run: Command) -> None:
    ended = run(*bad.split())
    refused(ended)
    assert ended.err.startswith(f"error: {said}"), ended.err


def test_a_run_that_ends_while_it_is_verified_lacks_nothing(
    run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = folder / "summary.json"
    text = summary.read_text()
    summary.unlink()

    def listed(path: Path) -> list[Path]:
        summary.write_text(text.replace('"num_games": 6', '"num_games": 9'))
        return shard_paths(path)

    monkeypatch.setattr(games, "shard_paths", listed)
    assert run("verify", folder).out == "6 games, no faults, not finished yet\n"


def test_a_folder_may_have_any_name(run: Command, folder: Path) -> None:
    other = folder.rename(folder.with_name("run#2"))
    assert run("show", other).status == 0


def test_verify_finds_planted_faults(run: Command, folder: Path) -> None:
    games, described = list(read_games(folder)), read_run(folder)
    assert described is not None
    (shard,) = folder.glob("games-*.parquet")
    whole = shard.read_bytes()
    shutil.copy(shard, folder / "games-000001.parquet")
    ended = run("verify", folder)
    refused(ended, str(folder), "6 faults")
    assert "game 0: stored twice" in ended.out
    (folder / "games-000001.parquet").unlink()
    shard.unlink()
    ended = run("verify", folder)
    refused(ended, "6 faults")
    assert "game 5: missing" in ended.out
    for change, text in (
        ({"winner": -games[1].winner}, "game 1: the winner is wrong"),
        ({"network": "another"}, "game 1: played by another network"),
    ):
        with GameStore(folder, described, resume=True) as store:
            store.write([games[0], replace(games[1], **change), *games[2:]])
        ended = run("verify", folder)
        refused(ended, "1 faults")
        assert ended.out.splitlines() == [text]
        next(folder.glob("games-*.parquet")).unlink()
    shard.write_bytes(whole[:-9])
    for name in ("verify", "export", "show"):
        refused(run(name, folder), shard.name)
    shard.write_bytes(whole)
    for damaged in ("{", '{"format": "hex_ai-run", "version": 1}'):
        (folder / "run.json").write_text(damaged)
        refused(run("verify", folder), "run.json")


def test_verify_judges_ends_by_the_settings_of_the_run(
    run: Command, flags: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    rules = ["--stop", "resign", "--resign-threshold", 0.001, "--board-size", 5]
    assert run(*flags, *rules, "--out", folder).status == 0
    gave_up = sum(game.end == "resign" for game in read_games(folder))
    assert gave_up
    assert run("verify", folder).out == "6 games, no faults, complete\n"
    described = read_run(folder)
    assert described is not None
    for change, text in (
        ({"stop": []}, "ended by resign, in a run without that"),
        ({"resign_threshold": 0.99}, "nobody has reason to resign"),
        ({"board_size": 6}, "of another board size"),
    ):
        settings = described["settings"] | change
        (folder / "run.json").write_text(json.dumps(described | {"settings": settings}))
        ended = run("verify", folder)
        assert ended.out.count(text) == (6 if "board_size" in change else gave_up)
        assert ended.status == 7


@pytest.mark.parametrize("command", ["export", "show"])
def test_a_reader_who_has_had_enough_is_no_error(command: str, folder: Path) -> None:
    """Unbuffered, so that the pipe is closed while there is still much to say."""
    code = "import sys; sys.stdin.read(); from hex_ai.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, command, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_output_is_one_line(folder: Path) -> None:
    with open("/dev/full", "w") as full:
        process = Run("export", str(folder), stdout=full.fileno())
        _, said = process.wait()
    refused(Ended(process.status, "", said), "No space left")


def test_the_script_is_a_thin_door(
    run: Command,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Without a compiler there is nothing to wait for.
    monkeypatch.setenv("CXX", "no-such-compiler")
    folder = tmp_path / "run"
    base = [sys.executable, str(SCRIPT), "--num_games", "3", "--board_size", "3"]
    base += ["--model_path", str(model), "--output_dir", str(folder), "--seed", "4"]
    more = ["--search_widths", "3", "2", "--no_batched_inference", "--temperature", "0.5"]
    more += ["--cache_size", "9", "--batch_size", "8", "--num_workers", "1"]
    ended = subprocess.run([*base, *more], capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "3 games" in ended.stdout
    described = read_run(folder)
    assert described is not None
    settings = described["settings"]
    assert (settings["search_widths"], settings["seed"]) == ([3, 2], 4)
    assert (settings["temperature"], settings["board_size"]) == (0.5, 3)
    assert described["plan"]["shapes"] == [1]
    assert run("verify", folder).out == "3 games, no faults, complete\n"
    monkeypatch.setattr(sys, "argv", base[1:])
    with pytest.raises(SystemExit) as again:
        runpy.run_path(base[1], run_name="__main__")
    said = capsys.readouterr()
    refused(Ended(again.value.code, said.out, said.err), str(folder))


@pytest.mark.parametrize("command", ["selfplay", "bench", "tune"])
def test_a_file_with_a_network_of_ones_own_is_loaded_first(
    command: str, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(
        "hex_ai.network.architecture.load_architecture_module", loaded.append, raising=False
    )
    refused(run(command, "--model", "/nowhere/net", "--architecture-module", "my_net.py"), "net")
    assert loaded == [Path("my_net.py")]
