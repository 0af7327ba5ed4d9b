"""A game to look at: its board at any step, who won and how, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hex_ai.errors import IllegalMoveError, NotationError, SettingError
from hex_ai.formats.moves import (
    ENDING,
    Move,
    PlayedGame,
    SetUp,
    Step,
    Stones,
    Word,
    colour_name,
    joined_colour,
    moves_of,
    position_after,
)
from hex_ai.formats.sgf import SgfGame
from hex_ai.game.notation import cell_name
from hex_ai.game.positions import Positions
from hex_ai.game.records import BLUE

_HOW = {
    "join": "",
    "resign": " by resignation",
    "forfeit": " by forfeit",
    "time": " on time",
    "proven": " by a chain that nothing can stop",
}


@dataclass(frozen=True)
class BoardView:
    """One board of a game.

    Attributes:
      position: of B = 1.
      last: the cell of the move that led there, if one did.
      lines: what there is to say about it, a line each.
    """

    position: Positions
    last: int | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class GameView:
    """A game in the colours of its stones, whoever moves, in whatever order.

    Attributes:
      board_size: N.
      moves: all of them.
      setup: stones and turns set up by hand.
      winner: as it is said, by the colour of stones; `RED`, `BLUE`, or None.
      reason: how, as it is said: a key of `_HOW`, or anything.
      steps: the boards that can be looked at, the start first.
      note: how it was read, if there is anything to say about that.
      red_name: the player, where the source names it; and `blue_name`.
    """

    board_size: int
    moves: tuple[Move, ...]
    setup: tuple[SetUp, ...] = ()
    winner: int | None = None
    reason: str = "join"
    steps: tuple[Step, ...] = ()
    note: str = ""
    red_name: str = ""
    blue_name: str = ""

    def board(self, ply: int | None = None) -> BoardView:
        """The board at a step, counted from 0 for the start; None: the last.

        Raises:
          SettingError: no such step; NotationError: a move that cannot be played.
        """
        plies = len(self.steps) - 1
        ply = plies if ply is None else ply
        if not 0 <= ply <= plies:
            raise SettingError(f"ply {ply} is outside 0 to {plies}")
        step, what = self.steps[ply], self.what(ply)
        stones, turn = self.after(step)
        last = None if isinstance(what, str) else what
        said = what if isinstance(what, str) else cell_name(what, self.board_size)
        lines = [f"ply {ply} of {plies}: {said}", *self._state(ply, stones, turn), *step.marks]
        return BoardView(_position(stones, turn), last, (*lines, *self.faults()))

    def after(self, step: Step) -> tuple[Stones, int]:
        """The board at a step, and who moves next (see `position_after`)."""
        return position_after(self.board_size, self.moves, self.setup[: step.setup], step.moves)

    def what(self, ply: int) -> int | str:
        """What led to a step, counted from 0 for the start: a cell, or a word."""
        step = self.steps[ply]
        if ply and self.steps[ply - 1].moves < step.moves:
            what = self.moves[step.moves - 1].what
            return "swap" if what is Word.SWAP_PIECES else what
        stones_set = any(item.cell is not None for item in self.setup[: step.setup])
        return "set-up" if stones_set else "none"

    def _state(self, ply: int, stones: Stones, turn: int) -> Iterator[str]:
        """Who moves next, and who won in the end."""
        step = self.steps[ply]
        played = self.moves[: step.moves]
        if any(move.what is Word.SWAP_SIDES for move in played):
            yield "the players have changed sides, and no stone has moved"
        over = joined_colour(stones) or any(move.what in ENDING for move in played)
        if ply < len(self.steps) - 1:
            yield f"{colour_name(turn)} to move" if not over else "the game is over"
            yield f"in the end: {self.end()}"
        else:
            end = self.end()
            yield end if over or self.winner else f"{end}, {colour_name(turn)} to move"

    def end(self) -> str:
        """Who won, and how: a chain decides, then a move that ends the game, then what is said."""
        chain, number = self._decision()
        if chain and number is None:
            return f"{colour_name(chain)} joined"
        if number is not None:
            how = _HOW[str(self.moves[number - 1].what)]
            return f"{colour_name(chain)} won{how}"
        if self.winner is None:
            return "not finished"
        return f"{colour_name(self.winner)} won{_HOW.get(self.reason, f' ({self.reason})')}"

    def _decision(self) -> tuple[int, int | None]:
        """Who won by a chain or because the opponent gave up, else 0; and the move that gave up."""
        chain = self._chain_after(len(self.moves))
        if chain:
            return chain, None
        for number, move in enumerate(self.moves, 1):
            if move.what in ENDING:
                return -move.colour, number
        return 0, None

    def _chain_after(self, count: int) -> int:
        """Who has joined after so many moves and what is set up after them; else 0."""
        setup = [item for item in self.setup if item.after <= count]
        try:
            return joined_colour(position_after(self.board_size, self.moves, setup, count)[0])
        except NotationError:
            return 0

    def faults(self) -> Iterator[str]:
        """What is wrong with the game as a whole."""
        if self.note:
            yield self.note
        try:
            self.after(self.steps[-1])
        except NotationError as error:
            yield f"it cannot be played to its end: {error}"
        decided, number = self._decision()
        if not decided:
            return
        last = self._moves_to_chain() if number is None else number
        why = "had joined" if number is None else "had won"
        # That the loser gives up is no fault.
        late = [m for m in self.moves[last:] if m.what not in ENDING or m.colour == decided]
        if late:
            names = ", ".join(map(self._name, late[:5]))
            names += f" and {len(late) - 5} more" if len(late) > 5 else ""
            yield f"after {colour_name(decided)} {why} come moves that do not count: {names}"
        if self.winner == -decided:
            names = colour_name(self.winner)
            yield f"the result given says that {names} won, but {colour_name(decided)} did"

    def _name(self, move: Move) -> str:
        what = move.what
        named = what if isinstance(what, Word) else cell_name(what, self.board_size)
        return f"{colour_name(move.colour)} {named}"

    def _moves_to_chain(self) -> int:
        """How many moves it took until a chain stood."""
        count = len(self.moves)
        while count and self._chain_after(count - 1):
            count -= 1
        return count


def _position(stones: Stones, turn: int) -> Positions:
    """The position; where the mover has joined already, it is the other's turn, who has lost."""
    board = torch.from_numpy(stones)[None]
    try:
        return Positions.from_stones(board, torch.tensor([turn == BLUE]))
    except IllegalMoveError:
        return Positions.from_stones(board, torch.tensor([turn != BLUE]))


def view_of_sgf(game: SgfGame) -> GameView:
    """A game of an SGF file, as the file has it."""
    return GameView(
        game.board_size,
        game.moves,
        game.setup,
        game.winner,
        game.reason or "join",
        game.steps,
        game.note,
        game.red_name,
        game.blue_name,
    )


def view_of_moves(
    size: int, moves: list[Move], winner: int | None = None, end: str = "join"
) -> GameView:
    """A game without set-up; a step for every move."""
    steps = tuple(Step(count) for count in range(len(moves) + 1))
    return GameView(size, tuple(moves), (), winner, end, steps)


def view_of_game(game: PlayedGame) -> GameView:
    """A game as the package plays it."""
    return view_of_moves(game.board_size, moves_of(game.moves), game.winner, game.end)
