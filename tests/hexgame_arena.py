"""An arena on loopback that speaks as hexgame-server does, with an opponent in it and slow rules.

Written from what that server says and does, apart from our client: cells are (q, r) throughout, and
who has won is searched for stone by stone.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Handler = Callable[[ServerConnection], None]


def has_won(board: list[list[int]], seat: int) -> bool:
    """Whether a seat's stones join its edges: -1 from the first column on, 1 from the first row."""
    size = len(board)
    reached = {(0, k) if seat == -1 else (k, 0) for k in range(size)}
    reached = {(q, r) for q, r in reached if board[r][q] == seat}
    while True:
        near = {
            (q + a, r + b) for q, r in reached for a in (-1, 0, 1) for b in (-1, 0, 1) if a != b
        }
        grown = reached | {
            (q, r) for q, r in near if 0 <= q < size and 0 <= r < size and board[r][q] == seat
        }
        if grown == reached:
            return any((q if seat == -1 else r) == size - 1 for q, r in reached)
        reached = grown


class Arena:
    """One seat for a guest, and an opponent on the other.

    Args:
      seat: the guest's.
      size: of the board.
      length: of the series.
      cut_after: how many moves of the guest are answered before its connection is cut, once.
      told: whether the move at which it is cut is still played.
      pause_at: the guest's move, counted from 1, that comes while the opponent is away.
      opponent: which of the empty cells (q, r) the opponent takes; by default any.
    """

    def __init__(
        self,
        seat: int,
        size: int = 7,
        length: int = 1,
        cut_after: int | None = None,
        told: bool = True,
        pause_at: int = 0,
        opponent: Callable[[list[tuple[int, int]]], tuple[int, int]] | None = None,
    ) -> None:
        self.seat, self.size, self.length = seat, size, length
        self.cut_after, self.told, self.pause_at = cut_after, told, pause_at
        self.wins, self.number, self.moves = {-1: 0, 1: 0}, 0, 0
        self.games: list[tuple[int, int]] = []
        self.asked: list[dict[str, list[str]]] = []
        self.opponent = opponent or random.Random(seat).choice
        self._over = False

    def __call__(self, guest: ServerConnection) -> None:
        parts = urlsplit(guest.request.path if guest.request else "")
        self.asked.append(parse_qs(parts.query))
        if parts.path == "/ws/reconnect":
            assert self.asked[-1] == {"slot_id": ["4"], "token": ["secret & more"]}
            self._say(guest, "reconnected", player=self.seat, slot=self._snapshot())
        else:
            assert parts.path == "/ws/matchmake"
            self._say(
                guest,
                "joined",
                slot_id=4,
                player=self.seat,
                board_size=self.size,
                series_length=self.length,
                reconnect_token="secret & more",
            )
            self._say(guest, "waiting_for_opponent", slot_id=4, board_size=self.size)
            self._say(guest, "chat", player=-self.seat, message="hello")
            self._begin(guest)
        try:
            while not self._over:
                self._step(guest)
        except ConnectionClosed:
            pass

    def _say(self, guest: ServerConnection, kind: str, **payload: Any) -> None:
        guest.send(json.dumps({"type": kind, "payload": payload}))

    def _count(self) -> dict[str, int]:
        return {
            "player_1_wins": self.wins[-1],
            "player_2_wins": self.wins[1],
            "current_game_number": self.number,
            "series_length": self.length,
        }

    def _begin(self, guest: ServerConnection) -> None:
        self.number += 1
        self.board = [[0] * self.size for _ in range(self.size)]
        self.turn = self.first = -1 if self.number % 2 else 1
        self._say(
            guest,
            "game_start",
            board_size=self.size,
            first_turn=self.first,
            player_models={str(-self.seat): "slow"},
            **self._count(),
        )

    def _snapshot(self) -> dict[str, Any]:
        winner = next((seat for seat in (-1, 1) if has_won(self.board, seat)), None)
        return {
            "board": self.board,
            "current_turn": self.turn,
            "winner": winner,
            "series_winner": winner if self._over else None,
            **self._count(),
        }

    def _step(self, guest: ServerConnection) -> None:
        if self.turn == self.seat:
            said = json.loads(guest.recv(timeout=20))
            assert said["type"] == "move", said
            self.moves += 1
            if self.moves == self.pause_at:
                self._say(guest, "move_rejected", reason="Game paused for reconnect")
                self._say(guest, "opponent_disconnected", reason="waiting_for_reconnect")
                self._say(guest, "opponent_reconnected", player=-self.seat)
                return
            q, r = said["payload"]["q"], said["payload"]["r"]
        else:
            cells = [(q, r) for r in range(self.size) for q in range(self.size)]
            q, r = self.opponent([(q, r) for q, r in cells if not self.board[r][q]])
        if self.moves == self.cut_after and self.turn == self.seat:
            self.cut_after = None
            if self.told:
                self._put(q, r)
            guest.socket.shutdown(2)
            guest.recv(timeout=20)
        self._put(q, r)
        self._say(guest, "move", player=self.board[r][q], q=q, r=r, next_turn=self.turn)
        self._end_game(guest)

    def _put(self, q: int, r: int) -> None:
        assert self.board[r][q] == 0, "an illegal move"
        self.board[r][q], self.turn = self.turn, -self.turn

    def _end_game(self, guest: ServerConnection) -> None:
        winner = next((seat for seat in (-1, 1) if has_won(self.board, seat)), None)
        if winner is None:
            return
        self.wins[winner] += 1
        self.games.append((self.first, winner))
        self._say(guest, "game_over", winner=winner, reason="connected_sides")
        self._say(guest, "series_update", **self._count())
        self._over = 2 * max(self.wins.values()) > self.length
        if self._over:
            self._say(guest, "series_over", winner=winner, **self._count())
        else:
            self._begin(guest)


@contextmanager
def serving(handler: Handler, **options: Any) -> Iterator[str]:
    """The address of a server on loopback with this handler, for the time of a block."""
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()
