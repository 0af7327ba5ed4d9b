"""How far apart the levels of play are: each plays a match against the one below.

    python benchmarks/levels.py [CHECKPOINT] [--board-sizes 7,9,11] [--games 98]
    python benchmarks/levels.py --temperatures 1,0.7,0.5

With `--temperatures`, players that draw from the policy at these take the levels' place, which is
how the levels' own were found. Prints the Elo of each step with its 95 % interval.
"""

import argparse
from itertools import pairwise
from pathlib import Path

from hex_ai.arena.match import match
from hex_ai.arena.players import NetworkPlayer, Strategy
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.puct.levels import LEVELS


def strategies(temperatures: str | None) -> dict[str, Strategy]:
    """Every player by its name, the weakest first."""
    if temperatures is not None:
        return {text: Strategy(temperature=float(text)) for text in temperatures.split(",")}
    return {f"level {number}": Strategy(level=level) for number, level in enumerate(LEVELS, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?", default=default_model_path())
    parser.add_argument("--board-sizes", default="7,9,11")
    parser.add_argument("--games", type=int, default=98)
    parser.add_argument("--temperatures")
    arguments = parser.parse_args()
    steps = pairwise(strategies(arguments.temperatures).items())
    for (below, weaker), (above, stronger) in steps:
        for size in map(int, arguments.board_sizes.split(",")):
            one, other = (
                NetworkPlayer(name, load_checkpoint(arguments.checkpoint).network, strategy, seed)
                for seed, (name, strategy) in enumerate(((above, stronger), (below, weaker)))
            )
            score = match(one, other, board_size=size, games=arguments.games)
            print(f"{above} against {below}, {size}x{size}: {score.line()}", flush=True)


if __name__ == "__main__":
    main()
