"""Players that others wrote: OpenSpiel's tree search, and any engine that speaks HTP."""

import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec

import torch
from torch import Tensor

from hex_ai.arena.engine_process import EngineProcess, RefusalError
from hex_ai.arena.players import NO_MOVE, SWAPS, Turn
from hex_ai.errors import EngineError, NotationError, SettingError
from hex_ai.formats.moves import SWAP_RULES
from hex_ai.game.notation import cell_index, cell_name, mirror
from hex_ai.game.records import SWAP

log = logging.getLogger(__name__)

# OpenSpiel's own default for the exploration of its search.
UCT_C = 2.0
MEMORY_MB = 1000

# An engine has at least this long to start and to be told the game, before a move is asked for.
SETUP_SECONDS = 60.0

# Engines that know the rule are told who may swap: benzene's, and ours, which knows what it means.
SWAP_OFF = ("param_game allow_swap 0", "param_game swap off")
SWAP_ON = ("param_game allow_swap 1", "param_game swap {}")


class OpenSpielPlayer:
    """OpenSpiel's Monte Carlo tree search with random playouts (C++), on as many threads
    as torch uses. Never swaps.

    Args:
      name: as users wrote it.
      simulations: playouts a move.
      seed: of the playouts, which are keyed by (seed, game, ply).

    Raises:
      SettingError: OpenSpiel is not installed.
    """

    def __init__(self, name: str, simulations: int, seed: int) -> None:
        if find_spec("pyspiel") is None:
            raise SettingError(f"{name} wants OpenSpiel: install open_spiel")
        self.name, self._simulations, self._seed = name, simulations, seed
        # OpenSpiel searches without holding the interpreter's lock.
        self._pool = ThreadPoolExecutor(torch.get_num_threads())

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        size = turn.positions.size
        searches = [
            self._pool.submit(
                tree_search_move,
                size,
                self._simulations,
                hash((self._seed, int(game), len(moves))) % 2**31,
                with_seats_changed(moves, size),
            )
            for game, moves in zip(turn.ids, turn.moves, strict=True)
        ]
        found = zip((search.result() for search in searches), turn.moves, strict=True)
        cells = [mirror(cell, size) if SWAP in moves else cell for cell, moves in found]
        return turn.positions.to_board_cells(torch.tensor(cells))

    def close(self) -> None:
        """Waits for the searches under way, one a thread, which cannot be ended; drops the rest."""
        self._pool.shutdown(cancel_futures=True)


def tree_search_move(size: int, simulations: int, seed: int, moves: Sequence[int]) -> int:
    """The board cell that OpenSpiel's search plays after `moves` (board cells, no swap)."""
    import pyspiel

    game = pyspiel.load_game(f"hex(board_size={size})")
    state = game.new_initial_state()
    for cell in moves:
        state.apply_action(cell)
    playouts = pyspiel.RandomRolloutEvaluator(1, seed)
    bot = pyspiel.MCTSBot(game, playouts, UCT_C, simulations, MEMORY_MB, True, seed, False)
    return int(bot.step(state))


class HtpPlayer:
    """An engine that speaks HTP on its standard input and output.

    What it does wrong costs it the game at hand and nothing more: a move that is not legal, no
    answer in time, or its death, after which it is started again. Our board judges.

    Args:
      name: as users wrote it.
      command: what starts the engine, split as a shell would.
      move_seconds: time for one move, from `genmove` on; more loses the game. Its start and what
        it is told before have `SETUP_SECONDS` of their own, or as long as a move if that is more.
      swap: the rule by which it is told of swaps, one of `SWAP_RULES`.

    Attributes:
      faults: games lost by such a fault.
      seconds: spent in its moves.
      slowest: the longest time of one move.

    Raises:
      SettingError: the command cannot be read; EngineError: it cannot be started.
    """

    def __init__(self, name: str, command: str, move_seconds: float, swap: str = "off") -> None:
        self.name, self._limit, self._swap = name, move_seconds, swap
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise SettingError(f"{name!r} is no command: {error}") from error
        if not self._command:
            raise SettingError(f"{name!r} names no command")
        self.faults, self.seconds, self.slowest = 0, 0.0, 0.0
        self._engine = EngineProcess(self._command)
        self._size = 0

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        size = turn.positions.size
        cells = []
        for row, moves in enumerate(turn.moves):
            may_swap = turn.may_swap is not None and bool(turn.may_swap[row])
            try:
                cell = self._move(size, moves, may_swap)
                if cell not in (NO_MOVE, SWAPS):
                    here = turn.positions[row : row + 1]
                    here.require_legal(here.to_board_cells(torch.tensor([cell])))
            except (EngineError, NotationError, ValueError) as error:
                log.warning("%s loses game %d: %s", self.name, int(turn.ids[row]), error)
                self.faults += 1
                cell = NO_MOVE
            cells.append(cell)
        return turn.positions.to_board_cells(torch.tensor(cells))

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()

    def _move(self, size: int, moves: Sequence[int], may_swap: bool) -> int:
        """What the engine plays after `moves`: a board cell, `NO_MOVE` or `SWAPS`."""
        if not self._engine.alive:
            self._engine.close()
            self._engine, self._size = EngineProcess(self._command), 0
        self._set_up(size, moves, time.monotonic() + max(self._limit, SETUP_SECONDS))
        started = time.monotonic()
        # By these rules the engine has the other seat after a swap, and sees the board mirrored.
        moved = SWAP in moves and self._swap != "pieces"
        colour = _colour(len(moves) + moved)
        answer = self._engine.ask(f"genmove {colour}", started + self._limit)
        taken = time.monotonic() - started
        self.seconds += taken
        self.slowest = max(self.slowest, taken)
        move = move_of(answer, size, may_swap)
        return mirror(move, size) if moved and move >= 0 else move

    def _set_up(self, size: int, moves: Sequence[int], deadline: float) -> None:
        if size != self._size:
            self._engine.ask(f"boardsize {size} {size}", deadline)
            for command in SWAP_OFF if self._swap == "off" else SWAP_ON:
                with suppress(RefusalError):
                    self._engine.ask(command.format(self._swap), deadline)
            self._size = size
        self._engine.ask("clear_board", deadline)
        for colour, point in told(moves, size, self._swap):
            self._engine.ask(f"play {colour} {point}", deadline)


def told(moves: Sequence[int], size: int, rule: str) -> Iterator[tuple[str, str]]:
    """Colour and point of each move of a game, as an engine is told it by a rule of the swap."""
    if SWAP not in moves or rule == "pieces":
        plies = list(enumerate(moves))
    else:
        first, *rest = with_seats_changed(moves, size)
        plies = [(0, first), (1, SWAP), *enumerate(rest, 1)]
    for ply, cell in plies:
        yield _colour(ply), SWAP_RULES[rule] if cell == SWAP else cell_name(cell, size)


def with_seats_changed(moves: Sequence[int], size: int) -> list[int]:
    """A game of the same without its swap: where the pieces were swapped, the players changed seats
    instead, and all that followed is mirrored."""
    if SWAP not in moves:
        return list(moves)
    return [moves[0], *(mirror(cell, size) for cell in moves[2:])]


def move_of(answer: str, size: int, may_swap: bool = False) -> int:
    """The board cell that an engine's answer names, `NO_MOVE` if it resigns, or `SWAPS`.

    Any spelling of `resign` will do, and a point may be followed by a remark.

    Raises:
      NotationError: a pass, a swap where nobody may, or no cell of the board.
    """
    words = [word.strip(".,;!'\"()") for word in answer.lower().split()]
    if any(word.startswith("resign") for word in words):
        return NO_MOVE
    if may_swap and any(word.startswith("swap") for word in words):
        return SWAPS
    for said, meaning in (("pass", "passes"), ("swap", "swaps")):
        if any(word.startswith(said) for word in words):
            raise NotationError(f"says {answer[:40]!r}: it {meaning}, which nobody may here")
    return cell_index(words[0] if words else "", size)


def _colour(ply: int) -> str:
    return ("black", "white")[ply % 2]
