"""Players that others wrote: OpenSpiel's tree search, and any engine that speaks HTP."""

import logging
import shlex
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec

import torch
from torch import Tensor

from hex_ai.arena.engine_process import EngineProcess, RefusalError
from hex_ai.arena.players import NO_MOVE, Turn
from hex_ai.errors import EngineError, NotationError, SettingError
from hex_ai.game.notation import cell_index, cell_name

log = logging.getLogger(__name__)

# OpenSpiel's own default for the exploration of its search.
UCT_C = 2.0
MEMORY_MB = 1000

# An engine has at least this long to start and to be told the game, before a move is asked for.
SETUP_SECONDS = 60.0

# In a match nobody may swap. Engines that know the rule are told so: benzene's, and ours.
SWAP_OFF = ("param_game allow_swap 0", "param_game swap off")


class OpenSpielPlayer:
    """OpenSpiel's Monte Carlo tree search with random playouts (C++), on as many threads
    as torch uses.

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
        searches = [
            self._pool.submit(
                tree_search_move,
                turn.positions.size,
                self._simulations,
                hash((self._seed, int(game), len(moves))) % 2**31,
                moves,
            )
            for game, moves in zip(turn.ids, turn.moves, strict=True)
        ]
        cells = torch.tensor([search.result() for search in searches])
        return turn.positions.to_board_cells(cells)

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

    Attributes:
      faults: games lost by such a fault.
      seconds: spent in its moves.
      slowest: the longest time of one move.

    Raises:
      SettingError: the command cannot be read; EngineError: it cannot be started.
    """

    def __init__(self, name: str, command: str, move_seconds: float) -> None:
        self.name, self._limit = name, move_seconds
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
            try:
                cell = self._move(size, moves)
                if cell != NO_MOVE:
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

    def _move(self, size: int, moves: Sequence[int]) -> int:
        """The board cell that the engine plays after `moves`, or `NO_MOVE` if it resigns."""
        if not self._engine.alive:
            self._engine.close()
            self._engine, self._size = EngineProcess(self._command), 0
        self._set_up(size, moves, time.monotonic() + max(self._limit, SETUP_SECONDS))
        started = time.monotonic()
        answer = self._engine.ask(f"genmove {_colour(len(moves))}", started + self._limit)
        taken = time.monotonic() - started
        self.seconds += taken
        self.slowest = max(self.slowest, taken)
        return NO_MOVE if answer.lower() == "resign" else cell_index(answer, size)

    def _set_up(self, size: int, moves: Sequence[int], deadline: float) -> None:
        if size != self._size:
            self._engine.ask(f"boardsize {size} {size}", deadline)
            for command in SWAP_OFF:
                with suppress(RefusalError):
                    self._engine.ask(command, deadline)
            self._size = size
        self._engine.ask("clear_board", deadline)
        for ply, cell in enumerate(moves):
            self._engine.ask(f"play {_colour(ply)} {cell_name(cell, size)}", deadline)


def _colour(ply: int) -> str:
    return ("black", "white")[ply % 2]
