"""How often a player keeps a won position won, where few moves do.

    python benchmarks/hard_positions.py [CHECKPOINT] [--evaluations 50,200,1000] [--seconds 1]
    python benchmarks/hard_positions.py --check
    python benchmarks/hard_positions.py --make 600 --seed 1 > positions.json

The positions are in `hard_positions.json`: 7×7, random stones of both colours in equal number (Red
has one more where Blue is to move), won for the mover by one to three moves. Prints for each player
the share of positions in which its move is one of them, and how many it proves won. `--check` lets
the exact solver find the winning moves again; `--make` makes a set.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from exact_solver import BLUE, RED, ExactSolver, TooHard
from torch import Tensor

from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.puct.search import PuctSearch

SET = Path(__file__).with_name("hard_positions.json")
SIZE, STONES, MOST_WINS = 7, (12, 24), 3
SIGNS = {"R": 1, "B": -1, ".": 0}

Record = dict[str, Any]
Moves = tuple[Tensor, Tensor | None]  # moves as the mover sees them; proven, where that is known
Player = Callable[[Positions], Moves]


def positions_of(records: list[Record]) -> Positions:
    stones = [[[SIGNS[sign] for sign in row] for row in r["stones"].split("/")] for r in records]
    blue = [record["mover"] == "blue" for record in records]
    return Positions.from_stones(torch.tensor(stones), torch.tensor(blue))


def solved(solver: ExactSolver, record: Record) -> list[str]:
    """The names of all winning moves."""
    flat = record["stones"].replace("/", "")
    red, blue = (
        sum(solver.cell(k) for k, sign in enumerate(flat) if sign == side) for side in "RB"
    )
    wins = solver.winning_moves(red, blue, BLUE if record["mover"] == "blue" else RED)
    return sorted(cell_name(index, SIZE) for index in wins)


def check(records: list[Record], node_limit: int) -> None:
    wrong = hard = 0
    for record in records:
        try:
            wrong += solved(ExactSolver(SIZE, node_limit), record) != record["wins"]
        except TooHard:
            hard += 1
    print(f"{len(records)} positions checked: {wrong} wrong, {hard} beyond {node_limit} nodes")


def make(seconds: float, seed: int, node_limit: int) -> list[Record]:
    """Random positions that the solver finds to be hard, and solves within the limit."""
    draw, found, until = random.Random(seed), [], time.monotonic() + seconds
    while time.monotonic() < until:
        record = random_record(draw)
        solver = ExactSolver(SIZE, node_limit)
        try:
            positions_of([record])
            record["wins"] = solved(solver, record)
        except (TooHard, ValueError):  # or somebody has joined already
            continue
        if 1 <= len(record["wins"]) <= MOST_WINS:
            found.append(record | {"nodes": solver.nodes})
    return found


def random_record(draw: random.Random) -> Record:
    count = draw.randint(*STONES)
    signs = ["."] * SIZE**2
    for place, cell in enumerate(draw.sample(range(SIZE**2), count)):
        signs[cell] = "RB"[place % 2]
    rows = ("".join(signs[k : k + SIZE]) for k in range(0, SIZE**2, SIZE))
    return {"stones": "/".join(rows), "mover": "blue" if count % 2 else "red"}


def players(model: ModelInference, evaluations: list[int], seconds: float) -> dict[str, Player]:
    """Every player by its name."""

    def policy(positions: Positions) -> Moves:
        logits, _ = model.batch_infer(positions)
        return logits.masked_fill(~positions.legal_moves(), -math.inf).argmax(1), None

    def fixed(*widths: int) -> Player:
        def player(positions: Positions) -> Moves:
            collector = PositionCollector(model)
            tree = build_search_tree_with_collection(positions, widths, 0.0, collector)
            return tree.chosen, None

        return player

    def timed(**budget: float) -> Player:
        def player(positions: Positions) -> Moves:
            found = PuctSearch(positions, PositionCollector(model)).search(**budget)
            return found.moves, found.proven

        return player

    return {
        "policy": policy,
        "widths 3,2": fixed(3, 2),
        "widths 8,3": fixed(8, 3),
        **{f"{count} evaluations": timed(evaluations=count) for count in evaluations},
        f"{seconds:g} s a position": singly(timed(seconds=seconds)),
    }


def singly(player: Player) -> Player:
    """The same player, asked about one position at a time."""

    def one_by_one(positions: Positions) -> Moves:
        answers = [player(positions[row : row + 1]) for row in range(len(positions))]
        moves, proven = zip(*answers, strict=True)
        return torch.cat(moves), torch.cat(proven)

    return one_by_one


def kept(positions: Positions, moves: Tensor, records: list[Record]) -> int:
    """In how many positions the move is one of the winning ones."""
    cells = positions.to_board_cells(moves).tolist()
    wins = [{cell_index(name, SIZE) for name in record["wins"]} for record in records]
    return sum(cell in won for cell, won in zip(cells, wins, strict=True))


def report(path: Path, records: list[Record], evaluations: list[int], seconds: float) -> None:
    plan = default_plan(torch.device("cpu"), runtime="eager")
    network = load_checkpoint(path).network
    positions = positions_of(records)
    for name in players(ModelInference(network, plan), evaluations, seconds):
        # A player must not find in the cache what another one asked about.
        player = players(ModelInference(network, plan), evaluations, seconds)[name]
        started = time.monotonic()
        moves, proven = player(positions)
        took = (time.monotonic() - started) / len(records)
        count = kept(positions, moves, records)
        share = f"{count:4d} of {len(records)} kept ({count / len(records):.1%})"
        proofs = "" if proven is None else f"{int((proven == 1).sum()):4d} proven"
        print(f"{name:18s} {share:30s} {proofs:12s} {took:.3f} s a position")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?", default=default_model_path())
    parser.add_argument("--evaluations", default="50,200,1000")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--make", type=float, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--node-limit", type=int, default=10**7)
    arguments = parser.parse_args()
    if arguments.make:
        made = make(arguments.make, arguments.seed, arguments.node_limit)
        lines = ",\n".join("  " + json.dumps(record) for record in made)
        print(f'{{"size": {SIZE}, "positions": [\n{lines}\n]}}')
        return
    records = json.loads(SET.read_text(encoding="utf-8"))["positions"]
    if arguments.check:
        check(records, arguments.node_limit)
        return
    evaluations = [int(part) for part in arguments.evaluations.split(",")]
    report(arguments.checkpoint, records, evaluations, arguments.seconds)


if __name__ == "__main__":
    main()
