"""Series of games in an arena of hexgame-server, as of its version 0.4.3."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from hex_ai.arena.hexgame_board import SEATS, ArenaBoard
from hex_ai.arena.hexgame_link import ConnectionLostError, Link, Message
from hex_ai.arena.players import NO_MOVE, Player, Turn
from hex_ai.errors import EngineError, IllegalMoveError, SettingError

log = logging.getLogger(__name__)

BOARD_SIZES = (7, 9, 11, 13, 19)
SERIES_LENGTHS = tuple(range(1, 16, 2))

# The server keeps a seat for so long, and is asked for it so often.
RECONNECT_SECONDS, RETRY_SECONDS = 30.0, 1.0

# Time for whatever does not depend on the opponent.
ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class ArenaGame:
    """A game that has ended: its number in the series from 1, our seat, and whether we started and
    won; `moves` counts both sides' moves."""

    number: int
    seat: int
    started: bool
    won: bool
    moves: int


@dataclass(frozen=True)
class ArenaScore:
    """Games won and lost, and what the opponent calls itself."""

    won: int
    lost: int
    opponent: str


def play_series(
    url: str,
    player: Player,
    *,
    board_size: int = 11,
    games: int = 1,
    name: str = "hex_ai",
    report: Callable[[ArenaGame], None] = lambda _: None,
) -> ArenaScore:
    """Waits for an opponent in an arena, and plays a series against it.

    A connection that is lost is taken up again. A player that gives up plays on with any legal
    move: a resignation there would void the whole series.

    Args:
      url: of the server, such as `ws://127.0.0.1:8000`.
      player: who plays for us; not closed.
      board_size: 7, 9, 11, 13 or 19.
      games: 1, 3, …, 15; whoever has won more than half of them wins the series, which ends then.
      name: that the arena shows.
      report: is told of every game that ends.

    Raises:
      SettingError: an invalid setting, or websockets is not installed.
      EngineError: a server that is not there, closes for good or talks nonsense, or an opponent
        that leaves before the end; the message says how the series stood.
    """
    _require_one_of("board size", board_size, BOARD_SIZES)
    _require_one_of("number of games", games, SERIES_LENGTHS)
    with closing(Link(url)) as link:
        series = _Series(link, player, board_size, report)
        try:
            link.open("matchmake", board_size=board_size, series_length=games, model_name=name)
            return series.play()
        except EngineError as error:
            raise EngineError(f"{url}: {error}{series.standing}") from error


def _require_one_of(name: str, number: int, allowed: Sequence[int]) -> None:
    if number not in allowed:
        listed = ", ".join(map(str, allowed))
        raise SettingError(f"{name} {number} is none that the arena knows: {listed}")


class _Series:
    """What has been played and said so far, message by message."""

    def __init__(
        self, link: Link, player: Player, size: int, report: Callable[[ArenaGame], None]
    ) -> None:
        self._link, self._player, self._size, self._report = link, player, size, report
        self._seat, self._slot, self._token = 0, 0, ""
        self._game: ArenaBoard | None = None
        self._sent: int | None = None  # our move, until the server repeats it
        self._paused = self._over = False
        self._back_by: float | None = None
        self._wins, self._opponent = dict.fromkeys(SEATS, 0), ""

    @property
    def standing(self) -> str:
        """How the series stands, for a message about its end; empty before its first game."""
        if self._game is None:
            return ""
        return f"; the series stands at {self._wins[self._seat]} : {self._wins[-self._seat]}"

    def play(self) -> ArenaScore:
        """Plays to the end of the series."""
        while not self._over:
            try:
                self._hear(self._link.receive(self._patience))
                game = self._game
                if game and not game.winner and game.mover == self._seat and self._sent is None:
                    self._choose(game)
            except ConnectionLostError as loss:
                self._come_back(loss)
        return ArenaScore(self._wins[self._seat], self._wins[-self._seat], self._opponent)

    @property
    def _patience(self) -> float | None:
        """Seconds that the next message may take; no end where it is the opponent's to act."""
        game = self._game
        if not self._seat or (game and game.winner):
            return ANSWER_SECONDS
        if game is None or self._paused or game.mover != self._seat:
            return None
        return ANSWER_SECONDS

    def _hear(self, message: Message) -> None:
        """Does what a message asks for; kinds that are not listed, such as chat, do not matter."""
        hearers: dict[str, Callable[[Message], None]] = {
            "joined": self._take_seat,
            "reconnected": self._catch_up,
            "game_start": self._start,
            "move": self._play,
            "move_rejected": self._hear_rejection,
            "game_over": self._end_game,
            "series_update": self._count,
            "series_over": self._end,
            "opponent_disconnected": self._lose_opponent,
            "opponent_reconnected": self._resume,
        }
        if message.kind in ("error", "opponent_left_slot"):
            raise EngineError(f"the server says: {message.text('message')}")
        if message.kind in hearers:
            hearers[message.kind](message)

    def _take_seat(self, message: Message) -> None:
        self._seat = message.number("player", SEATS)
        self._slot, self._token = (
            message.number("slot_id", range(2**63)),
            message.text("reconnect_token"),
        )
        message.number("board_size", [self._size])

    def _start(self, message: Message) -> None:
        message.number("board_size", [self._size])
        number = message.number("current_game_number", range(1, 100))
        self._game = ArenaBoard(self._size, number, message.number("first_turn", SEATS))
        self._opponent = message.inner("player_models").text(str(-self._seat))
        self._sent, self._paused = None, False
        self._count(message)

    def _count(self, message: Message) -> None:
        for seat, wins in zip(SEATS, ("player_1_wins", "player_2_wins"), strict=True):
            self._wins[seat] = message.number(wins, range(100))

    def _end(self, message: Message) -> None:
        self._count(message)
        self._over = True

    def _running(self, message: Message) -> ArenaBoard:
        if self._game is None:
            raise EngineError(f"sent {message.kind!r} outside of a game")
        return self._game

    def _play(self, message: Message) -> None:
        game, places = self._running(message), range(self._size)
        seat, q, r = (
            message.number(name, allowed)
            for name, allowed in (("player", SEATS), ("q", places), ("r", places))
        )
        cell = game.cell(q, r)
        if seat == self._seat and cell != self._sent:
            raise EngineError(f"sent a move of ours that we did not make: q {q}, r {r}")
        if seat != game.mover:
            raise EngineError(f"sent a move out of turn: q {q}, r {r}")
        try:
            game.play(cell)
        except IllegalMoveError as error:
            raise EngineError(f"sent an illegal move: q {q}, r {r}") from error
        self._sent = self._back_by = None

    def _choose(self, game: ArenaBoard) -> None:
        turn = Turn(game.position, torch.tensor([game.number]), [game.moves])
        move = self._player.choose(turn)
        if int(move) == NO_MOVE:
            log.warning("%s gives up game %d, and plays on", self._player.name, game.number)
            move = game.position.legal_moves().long().argmax(1)
        game.position.require_legal(move)
        self._sent = int(game.position.to_board_cells(move))
        self._send(game, self._sent)

    def _send(self, game: ArenaBoard, cell: int) -> None:
        q, r = game.place(cell)
        self._link.send("move", q=q, r=r)

    def _hear_rejection(self, message: Message) -> None:
        """A move that comes while the opponent is away is to be sent again; others were legal."""
        reason = message.text("reason")
        if "paused" not in reason.lower():
            raise EngineError(f"refuses a legal move: {reason}")
        self._paused = True

    def _lose_opponent(self, message: Message) -> None:
        if message.text("reason") == "reconnect_timeout":
            raise EngineError("the opponent has left for good, which voids the series")

    def _resume(self, message: Message) -> None:
        if self._paused and self._sent is not None:
            self._send(self._running(message), self._sent)
        self._paused = False

    def _end_game(self, message: Message) -> None:
        game, winner = self._running(message), message.number("winner", SEATS)
        if message.text("reason") == "resignation":
            raise EngineError("the opponent has resigned, which voids the series")
        if winner != game.winner:
            raise EngineError(f"says that {winner} has won, but on our board it is {game.winner}")
        seat, moves = self._seat, len(game.moves)
        self._report(ArenaGame(game.number, seat, game.starter == seat, winner == seat, moves))

    def _come_back(self, loss: ConnectionLostError) -> None:
        """Asks for our seat again, until the server no longer keeps it."""
        if not self._token:
            raise loss
        if self._back_by is None:
            log.warning("%s; trying to come back", loss)
            self._back_by = time.monotonic() + RECONNECT_SECONDS
        else:
            time.sleep(RETRY_SECONDS)
        failure: EngineError = loss
        while time.monotonic() < self._back_by:
            try:
                self._link.open("reconnect", slot_id=self._slot, token=self._token)
                return
            except EngineError as error:
                failure = error
                time.sleep(RETRY_SECONDS)
        raise EngineError(f"no way back after {RECONNECT_SECONDS:g} s: {failure}") from loss

    def _catch_up(self, message: Message) -> None:
        """Takes over what the server says of our game, and of what has happened since."""
        slot = message.inner("slot")
        self._count(slot)
        self._token = message.text("reconnect_token") or self._token
        self._over = bool(slot.seat("series_winner"))
        stones, known = slot.board("board", self._size), self._known_moves()
        before, self._game = self._game, None
        self._sent, self._paused = None, False
        if stones is not None:
            number = slot.number("current_game_number", range(1, 100))
            self._game = ArenaBoard(self._size, number, _starter(slot, stones))
            same = before is not None and before.number == number
            self._game.catch_up(stones, known if same else [])

    def _known_moves(self) -> list[int]:
        """Moves of the game at hand, ours that the server has not repeated included."""
        sent = [] if self._sent is None else [self._sent]
        return [] if self._game is None else self._game.moves + sent


def _starter(slot: Message, board: Sequence[Sequence[int]]) -> int:
    """Who started a game: it is told by whose turn it is now, or by who has won with a move."""
    mover = -slot.seat("winner") or slot.number("current_turn", SEATS)
    stones = sum(stone != 0 for row in board for stone in row)
    return mover if stones % 2 == 0 else -mover
