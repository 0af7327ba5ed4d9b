"""Stored games as tensors: how often each first cell won, and what the search thought of it.

python examples/read_games.py FOLDER      a folder that `hex-ai selfplay --out FOLDER` has written
"""

import sys

import torch

from hex_ai import load_games


def main() -> None:
    games = load_games(sys.argv[1])
    size, first = games.board_size, games.first_ply[:-1]
    print(f"{len(games)} games of {size}x{size}, {len(games.moves)} plies")
    cells, red_won = games.moves[first].long(), (games.winners == 1).double()
    count = torch.zeros(size * size).index_add(0, cells, torch.ones(len(games)))
    won = torch.zeros(size * size, dtype=torch.float64).index_add(0, cells, red_won)
    for cell in count.argsort(descending=True, stable=True)[:5].tolist():
        name = f"{chr(ord('a') + cell % size)}{cell // size + 1}"
        print(
            f"{name}: {int(count[cell])} games, {won[cell] / count[cell].clamp(min=1):.0%} by Red"
        )
    searched = games.search > 0
    print(f"mean |value| of the {int(searched.sum())} searched plies:", end=" ")
    print(f"{games.values[searched].abs().mean():.2f}")


if __name__ == "__main__":
    main()
