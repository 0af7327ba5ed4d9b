"""How strong a network is against uniform random moves, and its search against its bare policy.

    python benchmarks/strength.py [CHECKPOINT] [--sizes 5,7,9,11] [--games 200]

Every opening cell, or an even spread of them, is played twice, once with each colour. Moves
are those of temperature 0, so openings are what makes games differ. Prints wins of the first side
with a 95 % interval (Wilson).
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.checkpoint import load_checkpoint
from hex_ai.inference.fixed_tree_search import PositionCollector, build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.selfplay.selfplay_engine import default_model_path

Player = Callable[[Positions], Tensor]


def play_match(one: Player, other: Player, size: int, games: int) -> int:
    """Wins of `one` in `games` games, an even number."""
    half = games // 2
    openings = torch.linspace(0, size * size - 1, half).round().long().repeat(2)
    positions = Positions.empty(games, size).play(openings)
    one_is_red = torch.arange(games) < half
    while not bool(positions.finished.all()):
        moves = torch.zeros(games, dtype=torch.int64)
        ones_turn = positions.blue_to_move != one_is_red
        for player, turn in ((one, ones_turn), (other, ~ones_turn)):
            rows = (turn & ~positions.finished).nonzero()[:, 0]
            if len(rows):
                moves[rows] = player(positions[rows])
        positions = positions.play(moves)
    return int(((positions.winner() == 1) == one_is_red).sum())


def interval(wins: int, games: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, wins / games
    middle = (share + z * z / (2 * games)) / (1 + z * z / games)
    spread = z * math.sqrt(share * (1 - share) / games + z * z / (4 * games**2))
    spread /= 1 + z * z / games
    return middle - spread, middle + spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?", default=default_model_path())
    parser.add_argument("--sizes", default="5,7,9,11")
    parser.add_argument("--games", type=int, default=200)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = load_checkpoint(arguments.checkpoint).network
    model = ModelInference(network, default_plan(torch.device("cpu"), runtime="eager"))

    def chance(positions: Positions) -> Tensor:
        return torch.multinomial(positions.legal_moves().float(), 1)[:, 0]

    def policy(positions: Positions) -> Tensor:
        logits, _ = model.batch_infer(positions)
        return logits.masked_fill(~positions.legal_moves(), -math.inf).argmax(1)

    def search(positions: Positions) -> Tensor:
        collector = PositionCollector(model)
        return build_search_tree_with_collection(positions, (3, 2), 0.0, collector).chosen

    pairs = {"policy - random": (policy, chance), "search (3, 2) - policy": (search, policy)}
    for size in (int(part) for part in arguments.sizes.split(",")):
        for name, (one, other) in pairs.items():
            wins = play_match(one, other, size, arguments.games)
            low, high = interval(wins, arguments.games)
            share = f"{wins / arguments.games:6.1%} ({low:.1%} to {high:.1%})"
            print(f"{size:2d}x{size:<2d}  {name:22s} {wins:4d} of {arguments.games}  {share}")


if __name__ == "__main__":
    main()
