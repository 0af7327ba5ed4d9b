"""What a precision costs: games of a network in one precision against itself in another, at equal
evaluations, and how far apart their answers are.

    python benchmarks/precisions.py --precision int8 --against float32 --board-size 11 --games 400
"""

import argparse
import copy
import json
from itertools import count, islice

import torch
from torch import Tensor

from hex_ai import SelfPlayEngine, load_checkpoint, match
from hex_ai.arena.players import NetworkPlayer, Strategy
from hex_ai.arena.rating import interval
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference

CPU = torch.device("cpu")

# Of the moves, so that the balanced openings give other games for every seed.
TEMPERATURE = 0.5

# Every so many plies of a game, a position of it is evaluated.
PLIES = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--against", default="float32")
    parser.add_argument("--board-size", type=int, default=11)
    parser.add_argument("--games", type=int, default=400)
    parser.add_argument("--widths", default="3,2")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    network = load_checkpoint(asked.model).network
    plans = [default_plan(CPU, "openvino", name) for name in (asked.precision, asked.against)]
    models = [ModelInference(copy.deepcopy(network), plan) for plan in plans]
    for model in models:
        model.prepare(asked.board_size)
    print(json.dumps(vars(asked) | apart(*models, positions_of_games(network, asked.board_size))))
    strategy = Strategy(tuple(map(int, asked.widths.split(","))), temperature=TEMPERATURE)
    wins = played = 0
    for seed in count(asked.seed):
        players = [
            NetworkPlayer(plan.precision, copy.deepcopy(network), strategy, seed, plan=plan)
            for plan in plans
        ]
        score = match(*players, board_size=asked.board_size, openings="balanced", seed=seed)
        wins, played = wins + score.wins, played + score.distinct
        if played >= asked.games:
            break
    low, high = interval(wins, played)
    print(json.dumps({"games": played, "wins": wins, "interval": [round(low, 4), round(high, 4)]}))


def positions_of_games(network: torch.nn.Module, size: int) -> list[Positions]:
    """Positions of 64 games of self-play in float32, one batch a ply that was looked at."""
    engine = SelfPlayEngine(model=network, board_size=size, swap=False, precision="float32", seed=5)
    found: list[Positions] = []
    for game in islice(engine.generate_games(64), 64):
        position = Positions.empty(1, size)
        for ply, move in enumerate(game.moves.tolist()):
            if ply % PLIES == 0:
                found.append(position)
            cell = move if ply % 2 == 0 else move % size * size + move // size
            position = position.play(torch.tensor([cell]))
    return found


def apart(
    first: ModelInference, second: ModelInference, found: list[Positions]
) -> dict[str, float]:
    """How far apart the answers of two models are."""
    positions = Positions.cat(found)
    (logits, values), (others, other_values) = (
        model.batch_infer(positions) for model in (first, second)
    )
    policy, other = (_log_policy(each, positions) for each in (logits, others))
    gaps = values - other_values
    return {
        "positions": len(positions),
        "same_favourite": float((policy.argmax(1) == other.argmax(1)).float().mean()),
        "divergence": float((other.exp() * (other - policy)).nansum(1).mean()),
        "value_error": float(gaps.square().mean().sqrt()),
        "value_bias": float(gaps.mean()),
    }


def _log_policy(logits: Tensor, positions: Positions) -> Tensor:
    return logits.double().masked_fill(~positions.legal_moves(), -torch.inf).log_softmax(1)


if __name__ == "__main__":
    main()
