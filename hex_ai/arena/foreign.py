"""Players that others wrote: OpenSpiel's tree search, and any engine that speaks HTP."""

import logging
import os
import queue
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import get_context
from typing import IO, cast

import torch
from torch import Tensor

from hex_ai.arena.players import NO_MOVE, Turn
from hex_ai.errors import EngineError, NotationError, SettingError
from hex_ai.game.notation import cell_index, cell_name

log = logging.getLogger(__name__)

# OpenSpiel's own default for the exploration of its search.
UCT_C = 2.0
MEMORY_MB = 1000

# An engine is given this long to end after `quit`.
QUIT_SECONDS = 2.0


class OpenSpielPlayer:
    """OpenSpiel's Monte Carlo tree search with random playouts (C++), in a process per processor.

    Args:
      name: as users wrote it.
      simulations: playouts a move.
      seed: of the playouts, which are keyed by (seed, game, ply).
    """

    def __init__(self, name: str, simulations: int, seed: int) -> None:
        if find_spec("pyspiel") is None:
            raise SettingError(f"{name} wants OpenSpiel: install open_spiel")
        self.name, self._simulations, self._seed = name, simulations, seed
        self._pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"))

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        size = turn.positions.size
        seeds = [
            hash((self._seed, int(game), len(moves))) % 2**31
            for game, moves in zip(turn.ids, turn.moves, strict=True)
        ]
        count = len(seeds)
        cells = self._pool.map(
            tree_search_move, [size] * count, [self._simulations] * count, seeds, turn.moves
        )
        return turn.positions.to_board_cells(torch.tensor(list(cells)))

    def close(self) -> None:
        """Ends the processes."""
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
      move_seconds: time for one move; more loses the game.

    Attributes:
      faults: games lost by such a fault.
      seconds: spent in its moves.
      slowest: the longest time of one move.

    Raises:
      EngineError: it cannot be started.
    """

    def __init__(self, name: str, command: str, move_seconds: float) -> None:
        self.name, self._command, self._limit = name, shlex.split(command), move_seconds
        if not self._command:
            raise SettingError(f"{name!r} names no command")
        self.faults, self.seconds, self.slowest = 0, 0.0, 0.0
        self._engine = HtpEngine(self._command)
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
            self._engine, self._size = HtpEngine(self._command), 0
        deadline = time.monotonic() + self._limit
        if size != self._size:
            self._engine.ask(f"boardsize {size} {size}", deadline)
            self._size = size
        self._engine.ask("clear_board", deadline)
        for ply, cell in enumerate(moves):
            self._engine.ask(f"play {_colour(ply)} {cell_name(cell, size)}", deadline)
        started = time.monotonic()
        answer = self._engine.ask(f"genmove {_colour(len(moves))}", deadline)
        taken = time.monotonic() - started
        self.seconds += taken
        self.slowest = max(self.slowest, taken)
        return NO_MOVE if answer.lower() == "resign" else cell_index(answer, size)


class HtpEngine:
    """A process that answers HTP commands.

    Raises:
      EngineError: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._name = command[0]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
            )
        except OSError as error:
            raise EngineError(f"{self._name}: {error.strerror}") from error
        self._stdin, self._stdout = (
            cast(IO[str], self._process.stdin),
            cast(IO[str], self._process.stdout),
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, command: str, deadline: float) -> str:
        """The answer to a command, without its sign; must come before `deadline` (monotonic).

        Raises:
          EngineError: it says that it failed, has died, or is late; then it is ended.
        """
        try:
            self._stdin.write(command + "\n")
            self._stdin.flush()
        except OSError as error:
            raise EngineError(f"{self._name} has ended before {command!r}") from error
        lines = self._answer(command, deadline)
        sign, _, text = lines[0].partition(" ")
        if not sign.startswith("="):
            raise EngineError(f"{self._name} on {command!r}: {' '.join(lines)}")
        return "\n".join([text, *lines[1:]]).strip()

    def close(self) -> None:
        """Asks it to quit, and ends it if it does not."""
        with suppress(OSError, ValueError):
            self._stdin.write("quit\n")
            self._stdin.close()
        try:
            self._process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._stdout.close()

    def _answer(self, command: str, deadline: float) -> list[str]:
        """The lines of an answer, which an empty one ends."""
        lines: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty as error:
                self._process.kill()
                raise EngineError(f"{self._name} has not answered {command!r} in time") from error
            if line is None:
                self._lines.put(None)  # whoever asks next is told at once, too
                raise EngineError(f"{self._name} has ended at {command!r}")
            if line:
                lines.append(line)
            elif lines:
                return lines

    def _read(self) -> None:
        for line in self._stdout:
            self._lines.put(line.strip())
        self._lines.put(None)


def _colour(ply: int) -> str:
    return ("black", "white")[ply % 2]
