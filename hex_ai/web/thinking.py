"""What the engine thinks about a position, told while it thinks.

Chances of winning are the mover's, 0 to 1; cells are names on the board.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hex_ai.errors import HexAIError, InvalidEvaluationError
from hex_ai.game.positions import Positions
from hex_ai.htp.board import BLACK, Board
from hex_ai.htp.chooser import ALL_MOVES, fairest
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.move_choice import log_priors
from hex_ai.inference.position_collector import Collector
from hex_ai.puct.levels import level, policy_moves
from hex_ai.puct.search import PuctResult, PuctSearch, PuctSettings
from hex_ai.value_utils import to_win_probability
from hex_ai.web.asked import Budget

Message = dict[str, Any]

# Nodes of one search; some are proven without an evaluation.
MAX_NODES = 100_000

# Of a sweep, and how many of its positions are searched between two looks at whether to go on.
SWEEP_WIDTHS = (8, 3)
SWEEP_POSITIONS = 16


class Left(HexAIError):
    """The visitor who asked has gone, or the server goes."""


@dataclass(frozen=True)
class Thinker:
    """Thinks for one visitor.

    Attributes:
      collector: evaluates positions, those of other visitors along with ours.
      device: where it wants them.
      stop: asked whether to end with what is there.
    """

    collector: Collector
    device: torch.device
    stop: Callable[[], bool]

    def search(
        self, board: Board, budget: Budget, told: Callable[[Callable[[], Message]], None]
    ) -> Message:
        """Searches a position whose game is not over.

        Args:
          board: the position.
          budget: how long to think.
          told: is given, again and again, a function that says what is known so far.
        """
        started = time.monotonic()
        position = board.position().to(self.device)
        policy, value = self._policy(position)

        def say(found: PuctResult) -> Message:
            return _message(board, policy, found) | {"seconds": time.monotonic() - started}

        told(lambda: _first_message(board, policy, value))

        def between() -> bool:
            told(lambda: say(search.found()))
            return self.stop()

        search = PuctSearch(
            position, self.collector, PuctSettings(max_nodes=MAX_NODES), stop=between
        )
        evaluations = budget.evaluations
        if budget.level is not None:
            evaluations = max(1, level(budget.level).evaluations)
        found = search.search(evaluations=evaluations, seconds=budget.seconds)
        self.collector.check()
        return say(found)

    def move(self, board: Board, budget: Budget, found: Message) -> str:
        """The move to play, by what a search of this budget has found: a cell, or `swap-pieces`."""
        if not board.swapped and board.mover == BLACK and not any(board.stones):
            return board.name_of(self._fairest(board))
        if found["value"] < 0.5 and board.may_swap("pieces"):
            return "swap-pieces"
        if budget.level is None or level(budget.level).evaluations:
            return str(found["line"][0])
        position, key = board.position().to(self.device), torch.zeros(1, dtype=torch.int64)
        temperature = level(budget.level).temperature(board.size)
        seed = secrets.randbits(62)
        return board.name_of(
            int(policy_moves(position, self.collector, temperature, seed, key, key)[0])
        )

    def sweep(
        self, boards: Sequence[Board], told: Callable[[Callable[[], Message]], None]
    ) -> Message:
        """Looks at many positions of one size, each by a small search, in as few batches as can be.

        Raises:
          Left: it was to stop.
        """
        results = [_over(board) for board in boards]
        open_ones = [number for number, result in enumerate(results) if result["over"] is None]
        for start in range(0, len(open_ones), SWEEP_POSITIONS):
            if self.stop():
                raise Left("nobody waits for this any more")
            numbers = open_ones[start : start + SWEEP_POSITIONS]
            found = self._looked_at([boards[number] for number in numbers])
            for number, result in zip(numbers, found, strict=True):
                results[number] = result
            told(partial(dict, done=start + len(numbers), of=len(open_ones)))
        return {"results": results}

    def _policy(self, position: Positions) -> tuple[Tensor, float]:
        """Chances `[A]` of the moves by the network alone, and its value."""
        logits, values = self.collector.evaluate(position)
        self.collector.check()
        policy = log_priors(logits, position.legal_moves())[0].exp().cpu()
        if not policy.isfinite().all():
            raise InvalidEvaluationError("the network gave a policy that is not finite")
        return policy, float(values[0])

    def _fairest(self, board: Board) -> int:
        position = board.position().to(self.device)
        tree = build_search_tree_with_collection(position, ALL_MOVES, 0.0, self.collector)
        cells, values = tree.candidates.cells[0].tolist(), tree.q[0].tolist()
        legal = tree.candidates.legal[0].tolist()
        pairs = zip(cells, values, legal, strict=True)
        return fairest({cell: value for cell, value, is_legal in pairs if is_legal})

    def _looked_at(self, boards: Sequence[Board]) -> list[Message]:
        positions = Positions.from_stones(
            torch.tensor([board.stones for board in boards], dtype=torch.int8).view(
                len(boards), boards[0].size, boards[0].size
            ),
            torch.tensor([board.mover != BLACK for board in boards]),
        ).to(self.device)
        tree = build_search_tree_with_collection(positions, SWEEP_WIDTHS, 0.0, self.collector)
        self.collector.check()
        chances = to_win_probability(tree.values).tolist()
        parts = (tree.candidates.cells, tree.candidates.legal, to_win_probability(tree.q))
        priors = tree.candidates.log_priors.exp().tolist()
        return [
            _swept(board, chance, list(zip(*of_one, strict=True)))
            for board, chance, *of_one in zip(
                boards, chances, *(item.tolist() for item in parts), priors, strict=True
            )
        ]


def _over(board: Board) -> Message:
    """What there is to say of a position whose game is over; `over` is None where it is not."""
    winner = board.winner
    name = None if not winner else "red" if winner == BLACK else "blue"
    return {"value": float(winner == board.mover), "over": name, "moves": []}


def _swept(board: Board, chance: float, moves: list[tuple[int, bool, float, float]]) -> Message:
    seen: list[Message] = [
        {"cell": board.name_of(cell), "value": value, "policy": policy}
        for cell, legal, value, policy in moves
        if legal
    ]
    seen.sort(key=lambda move: -float(move["value"]))
    return {"value": chance, "over": None, "moves": seen}


def _first_message(board: Board, policy: Tensor, value: float) -> Message:
    """What the network alone says."""
    moves = _by_policy(board, policy)
    return {
        "value": _chance(value),
        "proven": 0,
        "evaluations": 1,
        "seconds": 0.0,
        "line": [moves[0]["cell"]],
        "moves": moves,
    }


def _by_policy(board: Board, policy: Tensor) -> list[Message]:
    order = policy.argsort(descending=True, stable=True).tolist()
    shares = policy.tolist()
    return [
        {"cell": board.name_of(cell), "visits": 0, "value": None, "policy": shares[cell]}
        for cell in order
        if not board.stones[board.cell_of(cell)]
    ]


def _message(board: Board, policy: Tensor, found: PuctResult) -> Message:
    visits, values = found.visits[0].tolist(), found.move_values[0].tolist()
    shares, moves = policy.tolist(), []
    chosen = int(found.moves[0])
    for cell in sorted(range(len(visits)), key=lambda k: (k != chosen, -visits[k], -shares[k])):
        if board.stones[board.cell_of(cell)]:
            continue
        value = None if math.isnan(values[cell]) else _chance(values[cell])
        moves.append(
            {
                "cell": board.name_of(cell),
                "visits": visits[cell],
                "value": value,
                "policy": shares[cell],
            }
        )
    return {
        "value": _chance(float(found.values[0])),
        "proven": int(found.proven[0]),
        "evaluations": int(found.evaluations[0]),
        "line": [board.name_of(cell) for cell in found.lines[0]],
        "moves": moves,
    }


def _chance(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidEvaluationError("the network gave a value that is not finite")
    return float(to_win_probability(torch.tensor(value)))
