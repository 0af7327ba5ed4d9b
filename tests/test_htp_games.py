"""The HTP engine at length under the eyes of the slow reference. Everything is seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from evaluators import Hashed
from htp_player import RULES, Player, Share, agree
from inference_toys import random_network
from reference import BLUE, RED, cell_name
from slow_game import COLOURS, SlowGame

from hex_ai.htp.protocol import parse_request
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference

WORDS = (
    *("b", "w", "black", "white", "red", "blue", "B", "W", "pass", "resign", "swap"),
    *("swap-pieces", "swap-sides", "a1", "b2", "c3", "d4", "e5", "a2", "b1", "z9", "aa1"),
    *("1", "3", "4", "-1", "0", "x", "#", '"', "²", "\x00", "\t", "é"),
)
MOVES = ("a1", "B2", "c3", "d4", "a4", "swap-pieces", "resign", "e1")
STONES = ("b a1", "w b2", "black c3", "WHITE d4", "b d1", "w")


def fuzzed_lines(count: int, seed: int, names: list[str]) -> Iterator[str]:
    """Commands as they should be, the same with a few characters changed, and junk."""
    draw = random.Random(seed)
    for _ in range(count):
        line = draw.choice(
            [
                f"play {draw.choice('bw')} {draw.choice('abcd')}{draw.randrange(1, 5)}",
                f"play {draw.choice('bw')} {draw.choice('abcd')}{draw.randrange(1, 5)}",
                f"genmove {draw.choice(['b', 'white'])}",
                "undo",
                f"play w {draw.choice(WORDS)}",
                f"play-game {' '.join(draw.choices(MOVES, k=draw.randrange(5)))}",
                f"set_position {' '.join(draw.choices(STONES, k=draw.randrange(4)))}",
                f"boardsize {draw.randrange(6)}",
                f"{draw.choice(names)} {' '.join(draw.choices(WORDS, k=draw.randrange(4)))}",
                "".join(chr(draw.randrange(1, 400)) for _ in range(draw.randrange(12))),
            ]
        )
        for _ in range(draw.choice([0, 0, 0, 1, 2])):
            place = draw.randrange(len(line) + 1)
            line = line[:place] + draw.choice([*WORDS, " ", "", "\x7f"]) + line[place + 1 :]
        yield f"{draw.choice(['', '', '7 ', '08 '])}{line}".replace("\n", " ")


def follow(slow: SlowGame, line: str, sign: str, text: str) -> None:
    """Does to the slow game what a line asks, and demands that the reply says the same."""
    request = parse_request(line)
    assert request
    name, arguments = request.name, request.arguments
    done = sign == "="
    if name == "play" and len(arguments) == 2 and arguments[0].lower() in COLOURS:
        assert slow.play(COLOURS[arguments[0].lower()], arguments[1]) == done
    elif name == "undo" and not arguments:
        assert slow.undo() == done
    elif name == "genmove" and len(arguments) == 1 and arguments[0].lower() in COLOURS:
        over = bool(slow.state.winner)
        assert done
        assert over == (text == "resign")
        assert over or slow.play(COLOURS[arguments[0].lower()], text)
    elif name == "play-game" and done:
        slow.restart(slow.state.board.size)
        assert all(slow.play(slow.state.board.mover, word) for word in arguments)
    elif name == "set_position" and done:
        slow.restart(slow.state.board.size)
        stones = list(zip(arguments[::2], arguments[1::2], strict=True))
        assert all(slow.play(COLOURS[colour.lower()], cell) for colour, cell in stones)
        stones_of = [COLOURS[colour.lower()] for colour, _ in stones]
        slow.turn_to(BLUE if sum(stones_of) > 0 else RED)
    elif name in ("boardsize", "clear_board") and done:
        slow.restart(int(arguments[0]) if arguments else slow.state.board.size)


def test_a_thousand_fuzzed_commands_leave_the_board_right() -> None:
    player, slow, accepted = Player(Hashed(7), 4, "pieces", (2, 1)), SlowGame(4, "pieces"), 0
    names = [name for name in player.ask("list_commands").split() if name != "quit"]
    for line in fuzzed_lines(1000, 20261123, names):
        if parse_request(line) is None:
            assert player.session.answer(line) is None
            continue
        if "quit" in line or "param_game swap" in line:
            continue
        sign, text = player.reply(line)
        assert not text.startswith("internal error"), (line, text)
        follow(slow, line, sign, text)
        agree(player, slow)
        accepted += sign == "="
    assert 200 < accepted < 900


@pytest.mark.parametrize("rule", RULES)
def test_undo_is_the_inverse_of_play(rule: str, share: Share) -> None:
    draw, swaps = random.Random(rule), 0
    for _ in range(share(20, 200)):
        player, boards = Player(size=4, rule=rule), []
        moves = [
            ("b", draw.choice(["a2", "c4"])),
            ("w", draw.choice(["swap-pieces", "swap", "d1"])),
        ]
        moves += [(draw.choice("bw"), cell_name(draw.randrange(16), 4)) for _ in range(12)]
        for colour, word in [*moves, ("b", "resign")]:
            boards.append(player.engine.board)
            if player.reply(f"play {colour} {word}")[0] == "?":
                boards.pop()
            swaps += player.engine.board.swapped
        for board in reversed(boards):
            player.ask("undo")
            assert player.engine.board == board
        player.refused("undo")
    assert bool(swaps) == (rule != "off")


def play_game(players: tuple[Player, Player], size: int, rule: str) -> tuple[int, bool]:
    """A game under the slow reference's eyes: who won, and whether there was a swap.

    The first player starts as black. Whoever swaps sides plays on with the other colour.
    """
    slow, colours, turn, swapped = SlowGame(size, rule), [RED, BLUE], 0, False
    for player in players:
        player.ask(f"boardsize {size}")
    while not slow.state.winner:
        colour = {RED: "black", BLUE: "white"}[colours[turn]]
        move = players[turn].ask(f"genmove {colour}")
        assert slow.play(colours[turn], move), move
        players[1 - turn].ask(f"play {colour} {move}")
        swapped |= "swap" in move
        if "swap" in move and rule != "pieces":
            colours.reverse()
        turn = 1 - turn
        assert slow.state.board.mover == colours[turn]
        for player in players:
            agree(player, slow)
    return slow.state.winner, swapped


def test_two_engines_play_whole_games(share: Share) -> None:
    """Some games see a swap: of 15 with the rule, none would if each did with odds of 1 in 2,
    one time in 33,000."""
    swaps, winners = 0, set()
    for number in range(share(20, 200)):
        rule, size = RULES[number % 4], 4 + number % 2
        players = tuple(Player(Hashed(2 * number + k), size, rule, (3, 2)) for k in (0, 1))
        winner, swapped = play_game((players[0], players[1]), size, rule)
        winners.add(winner)
        swaps += swapped
        assert rule != "off" or not swapped
    assert swaps
    assert winners == {RED, BLUE}


def test_two_networks_play_a_game() -> None:
    plan = InferencePlan("cpu", "eager", "float32", (16,), torch.get_num_threads())
    players = [Player(ModelInference(random_network(k), plan), 5) for k in (1, 2)]
    play_game((players[0], players[1]), 5, "pieces")
