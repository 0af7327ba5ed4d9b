"""Whether a network's numbers mean what they say: draws reliability of value and policy (PNG).

    hex-ai selfplay --num-games 400 --board-size 9 --model NET --out games
    python benchmarks/reliability.py games --model NET --out reliability.png

Value: positions of the games in bins of the chance of winning that the network gives its mover,
against the share of them that the mover went on to win. Policy: the probability that the network
gives its favourite move, against the share of positions in which the search agreed with it.
Positions of one game are not independent, so points scatter more than their number says.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.checkpoint import load_checkpoint
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.move_choice import log_priors
from hex_ai.selfplay.game_store import read_games
from hex_ai.selfplay.records import RED, SWAP, GameRecord
from hex_ai.selfplay.replay import replay
from hex_ai.value_utils import to_win_probability

BINS = 10


def searched_positions(game: GameRecord) -> tuple[Positions, Tensor, Tensor]:
    """Positions searched in a game, whether their mover won it, and the best cell by the search."""
    moves = game.moves.tolist()
    boards = replay(game.board_size, moves)
    plies = [k for k, move in enumerate(moves) if game.search[k] and move != SWAP]
    positions = Positions.cat([boards[k] for k in plies])
    won = positions.blue_to_move != (game.winner == RED)
    best = torch.tensor([int(game.policy_cells[k, 0]) for k in plies])
    return positions, won, positions.to_board_cells(best)


def bins(said: Tensor, came: Tensor) -> list[tuple[float, float, int]]:
    """(mean of what was said, share of what came, how many) for each bin that holds anything."""
    place = (said * BINS).long().clamp(0, BINS - 1)
    rows = [place == k for k in range(BINS)]
    return [
        (float(said[row].mean()), float(came[row].double().mean()), int(row.sum()))
        for row in rows
        if bool(row.any())
    ]


def draw(panel: Axes, points: list[tuple[float, float, int]], title: str, label: str) -> None:
    total = sum(count for *_, count in points)
    panel.plot([0, 1], [0, 1], color="grey", linewidth=1)
    panel.scatter(
        [said for said, *_ in points],
        [came for _, came, _ in points],
        s=[20 + 400 * count / total for *_, count in points],
    )
    panel.set(xlim=(0, 1), ylim=(0, 1), title=title, xlabel=label, ylabel="share that came true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    network = load_checkpoint(arguments.model).network
    model = ModelInference(network, default_plan(torch.device("cpu"), runtime="eager"))
    figure = Figure(figsize=(8, 4 * len(arguments.folder)), layout="constrained")
    panels = figure.subplots(len(arguments.folder), 2, squeeze=False)
    for folder, (left, right) in zip(arguments.folder, panels, strict=True):
        chances, won, likely, agreed = [], [], [], []
        for game in read_games(folder):
            positions, outcome, best = searched_positions(game)
            logits, values = model.batch_infer(positions)
            top = log_priors(logits, positions.legal_moves()).exp().max(1)
            chances.append(to_win_probability(values))
            won.append(outcome)
            likely.append(top.values)
            agreed.append(top.indices == best)
        size = f"{game.board_size}x{game.board_size}"
        value_points = bins(torch.cat(chances), torch.cat(won))
        policy_points = bins(torch.cat(likely), torch.cat(agreed))
        draw(left, value_points, f"value, {size}", "chance of winning, by the network")
        draw(right, policy_points, f"policy, {size}", "probability of its favourite move")
        error = sum(abs(said - came) * count for said, came, count in value_points)
        print(f"{size}: value off by {error / sum(n for *_, n in value_points):.3f} on average")
    figure.savefig(arguments.out, dpi=110)
    print(arguments.out)


if __name__ == "__main__":
    main()
