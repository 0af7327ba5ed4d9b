"""Stored games as tensors: how often Red wins, and how far search values come true.

hex-ai selfplay --num-games 300 --board-size 7 --out games
python examples/read_games.py games
"""

import sys

import torch

from hex_ai import load_games


def main() -> None:
    """Prints a few figures of the games in a folder."""
    games = load_games(sys.argv[1])
    print(f"{len(games)} games on {games.board_size} × {games.board_size}")
    print(f"Red won {(games.winners > 0).float().mean():.1%}")

    # The plies of all games lie side by side; the ply and the winner of each:
    lengths = games.first_ply.diff()
    plies = torch.arange(len(games.moves)) - games.first_ply[:-1].repeat_interleave(lengths)
    winners = games.winners.repeat_interleave(lengths)

    # Values are the mover's, and Red moves at even plies.
    outcomes = torch.where(plies % 2 == 0, winners, -winners)
    searched = games.search > 0
    error = (games.values[searched] - outcomes[searched]).abs().mean()
    print(f"{int(searched.sum())} searched plies, mean |value - outcome| {error:.2f}")


if __name__ == "__main__":
    main()
