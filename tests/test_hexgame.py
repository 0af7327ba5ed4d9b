"""Series in an arena: colours, axes and scores are right, connections are taken up again, and what
a server does wrong is said in a line.

Everything is seeded, so no test can fail by chance.
"""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("websockets")

from hexgame_arena import Arena, serving

from hex_ai.arena import hexgame, hexgame_link
from hex_ai.arena.hexgame import ArenaGame, ArenaScore, play_series
from hex_ai.arena.players import NO_MOVE, RandomPlayer, Turn
from hex_ai.cli.main import main
from hex_ai.errors import EngineError, SettingError
from hex_ai.network.checkpoint import save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes half a minute but a server that is gone."""
    monkeypatch.setattr(hexgame, "RECONNECT_SECONDS", 0.3)
    monkeypatch.setattr(hexgame, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(hexgame, "ANSWER_SECONDS", 1.0)


class Straight:
    """Goes straight from top to bottom, as its mover sees the board, in the first free column."""

    name = "straight"

    def choose(self, turn: Turn) -> Tensor:
        size = turn.positions.size
        free = turn.positions.legal_moves()[0].view(size, size)
        mine = turn.positions.planes()[0, 0, 1:-1, 1:-1] > 0
        for column in sorted(range(size), key=lambda k: -int(mine[:, k].sum())):
            if bool((free | mine)[:, column].all()):
                return free[:, column].long().argmax()[None] * size + column
        return turn.positions.legal_moves().long().argmax(1)

    def close(self) -> None:
        """Nothing to end."""


class GivesUp(Straight):
    def choose(self, turn: Turn) -> Tensor:
        return torch.tensor([NO_MOVE])


def played(arena: Arena, player: Any = None, **options: Any) -> tuple[ArenaScore, list[ArenaGame]]:
    games: list[ArenaGame] = []
    player = player or RandomPlayer("random", 1)
    with serving(arena) as url:
        score = play_series(
            url, player, board_size=arena.size, games=arena.length, report=games.append, **options
        )
    return score, games


@pytest.mark.parametrize("seat", [-1, 1])
@pytest.mark.parametrize(("size", "length"), [(7, 15), (9, 1)])
def test_a_series_is_played_to_its_end_whoever_starts(seat: int, size: int, length: int) -> None:
    """Our board and the arena's agree on every winner, or the series would break off."""
    arena = Arena(seat, size, length)
    score, games = played(arena, name="me & you")
    assert arena.asked[0]["model_name"] == ["me & you"]
    assert score == ArenaScore(arena.wins[seat], arena.wins[-seat], "slow")
    assert [(game.started, game.won) for game in games] == [
        (first == seat, winner == seat) for first, winner in arena.games
    ]
    assert length == 1 or (arena.wins[seat] and arena.wins[-seat])
    assert {game.started for game in games} == ({True, False} if length > 1 else {seat == -1})


@pytest.mark.parametrize("seat", [-1, 1])
def test_our_edges_are_those_of_our_seat(seat: int) -> None:
    """We go straight along one edge, the opponent keeps to the edge over there."""
    far = 1 if seat == -1 else 0
    arena = Arena(seat, 7, 3, opponent=lambda free: max(free, key=lambda cell: cell[far]))
    score, games = played(arena, Straight())
    assert (score.won, score.lost) == (2, 0)
    assert [game.moves for game in games] == ([13, 14] if seat == -1 else [14, 13])


def test_who_gives_up_plays_on(caplog: pytest.LogCaptureFixture) -> None:
    score, _ = played(Arena(-1), GivesUp())
    assert score.won + score.lost == 1
    assert "straight gives up game 1, and plays on" in caplog.text


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seat", [-1, 1])
@pytest.mark.parametrize("cut_after", [1, 9])
def test_a_lost_connection_is_taken_up_again(seat: int, cut_after: int, told: bool) -> None:
    arena = Arena(seat, 7, 3, cut_after=cut_after, told=told)
    score, games = played(arena)
    assert len(arena.asked) == 2
    assert score == ArenaScore(arena.wins[seat], arena.wins[-seat], "slow")
    assert len(games) == len(arena.games)


def test_a_move_is_sent_again_once_the_opponent_is_back() -> None:
    arena = Arena(1, pause_at=3)
    assert played(arena)[0] == ArenaScore(arena.wins[1], arena.wins[-1], "slow")


def message(kind: str, **payload: Any) -> str:
    return json.dumps({"type": kind, "payload": payload})


JOINED = message("joined", slot_id=1, player=1, board_size=7, reconnect_token="")
START = {
    "board_size": 7,
    "first_turn": -1,
    "current_game_number": 1,
    "player_1_wins": 0,
    "player_2_wins": 0,
}
BEGUN = [JOINED, message("game_start", **START)]
MOVE = message("move", player=-1, q=0, r=0)
BOARD = [[0] * 7 for _ in range(7)]
AFTER = {"current_turn": -1, "current_game_number": 1, "player_1_wins": 0, "player_2_wins": 0}

NONSENSE: dict[str, tuple[list[Any], str]] = {
    "no JSON": (["{"], "sent what is no JSON: {"),
    "deep JSON": (["[" * 99999], "sent what is no JSON: "),
    "bytes": ([b"\xff\x00"], "sent what is no JSON: "),
    "a list": (["[1]"], "sent what is no message: \\[1\\]"),
    "a payload that is a list": (['{"type": "joined", "payload": [1]}'], "'joined' with payload"),
    "no seat": ([message("joined", player=2)], "sent 'joined' with player 2"),
    "truth": ([message("joined", player=True)], "sent 'joined' with player True"),
    "another board": (
        [message("joined", slot_id=1, player=1, board_size=9)],
        "sent 'joined' with board_size 9",
    ),
    "a complaint": (
        [message("error", message="No available\nslot")],
        "the server says: No available slot",
    ),
    "a move before the game": ([JOINED, MOVE], "sent 'move' outside of a game"),
    "no starter": ([JOINED, message("game_start", **(START | {"first_turn": 0}))], "first_turn 0"),
    "off the board": ([*BEGUN, message("move", player=-1, q=7, r=0)], "with q 7"),
    "half a cell": ([*BEGUN, message("move", player=-1, q=0.5, r=0)], "with q 0.5"),
    "no cell": ([*BEGUN, message("move", player=-1)], "with q None"),
    "a huge number": ([*BEGUN, message("move", player=-1, q=10**400, r=0)], "with q 1000"),
    "our move": (
        [*BEGUN, message("move", player=1, q=0, r=0)],
        "sent a move of ours that we did not make: q 0, r 0",
    ),
    "two moves": (
        [*BEGUN, MOVE, message("move", player=-1, q=1, r=0)],
        "sent a move out of turn: q 1, r 0",
    ),
    "a win too soon": (
        [*BEGUN, message("game_over", winner=-1, reason="connected_sides")],
        "says that -1 has won, but on our board it is 0",
    ),
    "a resignation": (
        [*BEGUN, message("game_over", winner=1, reason="resignation")],
        "the opponent has resigned, which voids the series; the series stands at 0 : 0",
    ),
    "an opponent that leaves": (
        [*BEGUN, message("opponent_disconnected", reason="reconnect_timeout")],
        "the opponent has left for good, which voids the series",
    ),
    "a refusal": (
        [*BEGUN, MOVE, message("move_rejected", reason="no\x1b[31m")],
        r"refuses a legal move: no \[31m",
    ),
    "no answer to our move": ([*BEGUN, MOVE], "no answer within 1 s"),
    "no seat in time": ([message("pong")], "no answer within 1 s"),
    "a small board": (
        [*BEGUN, message("reconnected", slot={"board": BOARD[1:], **AFTER})],
        r"with board \[\[0, 0",
    ),
    "odd stones": (
        [*BEGUN, message("reconnected", slot={"board": [[2] * 7] * 7, **AFTER})],
        r"with board \[\[2, 2",
    ),
    "too many stones": (
        [*BEGUN, message("reconnected", slot={"board": [[1] * 7, *BOARD[1:]], **AFTER})],
        "sent a board that no moves lead to",
    ),
    "nobody's turn": (
        [*BEGUN, message("reconnected", slot={"board": BOARD, **(AFTER | {"current_turn": 0})})],
        "with current_turn 0",
    ),
}


def scripted(messages: list[Any]) -> Callable[[Any], None]:
    """A server that says this, whatever it is told, and then nothing."""

    def handle(guest: Any) -> None:
        for said in messages:
            guest.send(said)
        for _ in guest:
            pass

    return handle


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_named_in_one_line(name: str) -> None:
    messages, complaint = NONSENSE[name]
    with serving(scripted(messages)) as url, pytest.raises(EngineError, match=complaint) as caught:
        play_series(url, RandomPlayer("random", 1), board_size=7)
    said = str(caught.value)
    assert said.startswith(url)
    assert said.isprintable()
    assert len(said) < 400


def test_a_move_on_a_taken_cell_is_named() -> None:
    def doubles(guest: Any) -> None:
        for said in (*BEGUN, MOVE):
            guest.send(said)
        cell = json.loads(guest.recv(timeout=20))["payload"]
        for seat in (1, -1):
            guest.send(message("move", player=seat, **cell))
        guest.recv(timeout=20)

    with serving(doubles) as url, pytest.raises(EngineError, match="sent an illegal move: q "):
        play_series(url, RandomPlayer("random", 1), board_size=7)


def test_a_server_that_closes_is_named() -> None:
    def closes(guest: Any) -> None:
        guest.close(1008, "go away")

    with serving(closes) as url, pytest.raises(EngineError, match=r"lost: .*go away"):
        play_series(url, RandomPlayer("random", 1))


def joins_and_closes(guest: Any) -> None:
    if "matchmake" in guest.request.path:
        guest.send(JOINED.replace('""', '"t"'))


def test_a_series_that_ended_while_we_were_away_is_over() -> None:
    def ends(guest: Any) -> None:
        joins_and_closes(guest)
        if "reconnect" in guest.request.path:
            board = [[1, *row[1:]] for row in BOARD]
            for r in range(6):
                board[r][1] = -1
            wins = {"player_1_wins": 1, "player_2_wins": 2, "series_winner": 1, "winner": 1}
            guest.send(message("reconnected", slot={**AFTER, **wins, "board": board}))
            guest.recv(timeout=20)

    with serving(ends) as url:
        score = play_series(url, RandomPlayer("random", 1), board_size=7, games=3)
    assert (score.won, score.lost) == (2, 1)


def unavailable(guest: Any, request: Any) -> Any:
    return guest.respond(503, "later") if "reconnect" in request.path else None


@pytest.mark.parametrize(
    ("refusal", "complaint"), [(None, "connection was lost"), (unavailable, "HTTP 503")]
)
def test_a_server_that_does_not_take_us_back_is_left(
    refusal: Any, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        serving(joins_and_closes, process_request=refusal) as url,
        pytest.raises(EngineError, match=f"no way back after 0.3 s: .*{complaint}"),
    ):
        play_series(url, RandomPlayer("random", 1), board_size=7)
    assert "trying to come back" in caplog.text


def test_a_server_that_is_not_there_or_of_another_kind_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hexgame_link, "OPEN_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EngineError, match=f"{url}: timed out"):
            play_series(url, RandomPlayer("random", 1))
    with pytest.raises(EngineError, match=f"{url}: Connection refused"):
        play_series(url, RandomPlayer("random", 1))
    elsewhere = serving(joins_and_closes, process_request=lambda guest, _: guest.respond(404, ""))
    with elsewhere as url, pytest.raises(EngineError, match=f"{url}: .*HTTP 404"):
        play_series(url, RandomPlayer("random", 1))


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["hexgame:ws://127.0.0.1:1", "--board-size", "8"], 2, "board size 8 is none"),
        (["hexgame:ws://127.0.0.1:1", "--games", "2"], 2, "number of games 2 is none"),
        (["hexgame:ws://127.0.0.1:1", "--level", "3", "--widths", "2"], 2, "give one of them"),
        (["hexgame:ws://127.0.0.1:1", "--level", "0"], 2, "level 0"),
        (["hexgame:ws://127.0.0.1:1", "--seconds", "-1"], 2, "-1"),
        (["hexgame:ws://127.0.0.1:1", "--widths", "x"], 2, "'x' is none of"),
        (["hexgame:127.0.0.1:1"], 2, "'127.0.0.1:1' is no address such as ws://"),
        (["hexgame:ws://127.0.0.1:x"], 2, "is no address: "),
        (["hexgame:ws://[::1"], 2, "is no address: "),
        (["hexgame:"], 2, "'' is no address such as ws://"),
        (["ws://127.0.0.1:1"], 2, "is no arena such as hexgame:ws://"),
        (["hexgame:ws://127.0.0.1:1"], 8, "ws://127.0.0.1:1: Connection refused"),
        (["hexgame:ws://a..b:1"], 8, "ws://a..b:1: "),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str],
    status: int,
    complaint: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["hex-ai", "play", *arguments, "--model", str(checkpoint)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == status
    assert complaint in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_checkpoint(path, HexNetwork(NetworkConfig(8, 1)), {})
    return path


def test_websockets_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hexgame_link, "find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r'an arena wants websockets: install "hex_ai\[arena\]"'):
        play_series("ws://127.0.0.1:1", RandomPlayer("random", 1))


@pytest.mark.parametrize("strength", [["--widths", "2"], ["--seconds", "0.001"], ["--level", "1"]])
def test_the_command_plays_and_prints_the_score(
    strength: list[str],
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arena = Arena(1, 7, 3)
    with serving(arena) as url:
        line = ["hex-ai", "play", f"hexgame:{url}/", "--model", str(checkpoint), "--name", "net"]
        monkeypatch.setattr(sys, "argv", [*line, "--board-size", "7", "--games", "3", *strength])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    *games, score = capsys.readouterr().out.splitlines()
    assert score == f"net against slow, 7x7, best of 3: {arena.wins[1]} : {arena.wins[-1]}"
    assert len(games) == len(arena.games)
    assert games[0].startswith("game 1: ")
    assert games[0].endswith("moves, blue, top to bottom, second")
