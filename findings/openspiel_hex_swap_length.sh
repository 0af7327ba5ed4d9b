#!/usr/bin/env bash
# OpenSpiel 2.0.2 (pip's open_spiel), Linux, Python 3.11.
#
# One expects max_game_length() to be what its documentation says, the most moves that any game can
# have, so that buffers of that length hold every game. Hex with swap=True gives the swap an action
# of its own, number N * N, so there are N * N + 1 actions; the stated length stays N * N. But the
# swap is a move that puts no stone: it turns the first one into the other player's, mirrored, and
# all other cells may still be filled. A game can have N * N + 1 moves, one beyond the stated most.
#
# It matters in self-play that writes into arrays [max_game_length, ...], or counts moves in a tensor
# of that length: the array overflows, or the last move with the outcome is dropped, and only in the
# longest games, so seldom that tests on large boards do not meet it. Remedy: one row more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check open_spiel==2.0.2
cat > "$folder/lengths.py" <<'PY'
import random
import sys

import pyspiel

GAMES = 20_000
beyond = {}
for swap in (False, True):
    game = pyspiel.load_game(f"hex(board_size=3,swap={swap})")
    lengths = []
    for seed in range(GAMES):
        state, chance = game.new_initial_state(), random.Random(seed)
        while not state.is_terminal():
            state.apply_action(chance.choice(state.legal_actions()))
        lengths.append(len(state.history()))
    stated = game.max_game_length()
    beyond[swap] = sum(length > stated for length in lengths)
    print(
        f"3x3, swap={swap}: {game.num_distinct_actions()} actions, max_game_length() {stated}, "
        f"longest of {GAMES} random games {max(lengths)}, {beyond[swap]} games beyond the stated"
    )
if beyond[False] or not beyond[True]:
    sys.exit("changed: no game is longer than stated")
PY
"$folder/venv/bin/python" "$folder/lengths.py"
