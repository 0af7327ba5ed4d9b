"""Players that others wrote: OpenSpiel's tree search, and any engine that speaks HTP."""

import logging
import os
import shlex
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess

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
    """OpenSpiel's Monte Carlo tree search with random playouts (C++), in a process per processor.

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
        self._pool = ProcessPoolExecutor(_processors(), get_context("spawn"), _serve_parent)
        self._workers: set[BaseProcess] = set()

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`.

        Raises:
          EngineError: a process has died.
        """
        size = turn.positions.size
        seeds = [
            hash((self._seed, int(game), len(moves))) % 2**31
            for game, moves in zip(turn.ids, turn.moves, strict=True)
        ]
        try:
            cells = self._search(size, seeds, turn.moves)
        except BrokenProcessPool as error:
            raise EngineError(f"{self.name}: a process of the search has died") from error
        return turn.positions.to_board_cells(torch.tensor(cells))

    def close(self) -> None:
        """Ends the processes, whatever they are at."""
        for worker in self._workers.intersection(active_children()):
            worker.terminate()
        self._pool.shutdown(cancel_futures=True)

    def _search(self, size: int, seeds: list[int], moves: Sequence[Sequence[int]]) -> list[int]:
        count, before = len(seeds), set(active_children())
        try:
            # This is where the pool starts its processes; it has no public list of them.
            cells = self._pool.map(
                tree_search_move, [size] * count, [self._simulations] * count, seeds, moves
            )
        finally:
            self._workers |= set(active_children()) - before
        return list(cells)


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
        for game, moves, row in zip(
            turn.ids.tolist(), turn.moves, range(len(turn.ids)), strict=True
        ):
            try:
                cell = self._move(size, moves)
                if cell != NO_MOVE:
                    here = turn.positions[row : row + 1]
                    here.require_legal(here.to_board_cells(torch.tensor([cell])))
            except (EngineError, NotationError, ValueError) as error:
                log.warning("%s loses game %d: %s", self.name, game, error)
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


def _processors() -> int:
    """Those that this process may use; where the system does not say, all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _serve_parent() -> None:
    """Leaves the end to the parent: Ctrl-C reaches every process of a terminal, a `kill -9` of the
    parent none of its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _colour(ply: int) -> str:
    return ("black", "white")[ply % 2]
