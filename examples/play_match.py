"""A match from Python: the shipped network against random moves, every opening twice.

python examples/play_match.py [GAMES]
"""

import sys

from hex_ai import match


def main() -> None:
    games = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    score = match("shipped@policy", "random", board_size=5, games=games)
    print(score.line())
    for game in score.games[:3]:
        print(f"game {game.number}: {len(game.moves)} plies, {'won' if game.won else 'lost'}")


if __name__ == "__main__":
    main()
