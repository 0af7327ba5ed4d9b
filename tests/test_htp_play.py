"""How the HTP engine chooses moves, swaps and uses its time, beside the slow search."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from evaluators import Hashed, Toy
from htp_player import RULES, WIDTHS, Player, slow_choice, stones_shown
from inference_toys import HashEvaluator, random_network
from reference import BLUE, RED, SlowBoard, cell_name, slow_search
from slow_game import COLOURS, SWAPS, SlowGame

from hex_ai.errors import NetworkError
from hex_ai.game.positions import Positions
from hex_ai.htp import chooser as chooser_module
from hex_ai.htp.board import Board
from hex_ai.htp.chooser import Choice, MoveChooser
from hex_ai.htp.clock import Clock
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.puct.search import PuctSearch
from hex_ai.value_utils import from_win_probability


def random_boards(count: int, size: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """Moves of either colour, in no order, that leave the game open."""
    draw = random.Random(seed)
    while count:
        game, moves = SlowGame(size, "off"), list[tuple[str, str]]()
        for _ in range(draw.randrange(size * size)):
            colour, cell = draw.choice("bw"), draw.choice(game.legal_words() or ["a1"])
            if game.play(COLOURS[colour], cell):
                moves.append((colour, cell))
        if not game.state.winner:
            count -= 1
            yield moves


@pytest.mark.parametrize("size", [3, 4])
def test_moves_and_values_are_those_of_the_slow_search(size: int) -> None:
    toy = Hashed(size)
    for moves in random_boards(20, size, size):
        for colour in "bw":
            player, game = Player(toy, size, "off", WIDTHS), SlowGame(size, "off")
            for who, cell in moves:
                player.ask(f"play {who} {cell}")
                game.play(COLOURS[who], cell)
            board = SlowBoard(game.state.board.stones, COLOURS[colour])
            cell, value = slow_choice(board, toy, WIDTHS)
            chance = float(player.ask(f"hexai-win_probability {colour}").split()[0])
            assert chance == pytest.approx((value + 1) / 2, abs=0.00051)
            line = player.ask(f"hexai-variation {colour}").split()
            assert line[0] == cell
            assert value_at_end(board, line, toy) == pytest.approx(value)
            assert player.ask(f"genmove {colour}") == cell


def value_at_end(board: SlowBoard, line: list[str], toy: Toy) -> float:
    """What the network says at the end of a line, as the first mover sees it."""
    view = 1
    for name in line:
        cell = (int(name[1:]) - 1) * board.size + "abcdefgh".index(name[0])
        row, col = board.place_of(cell)
        board, view = board.play(row * board.size + col), -view
    return view * (-1.0 if board.winner() else toy.slow(board)[1])


def test_policy_and_values_are_painted_on_their_cells() -> None:
    toy = Hashed(3)
    player = Player(toy, 3, "off")
    player.ask("play b b1")
    board = SlowBoard.empty(3).play(1)
    logits, _ = toy.slow(board)
    weights = {cell: math.exp(logits[cell]) for cell in board.legal()}
    names = {cell: cell_name(cell % 3 * 3 + cell // 3, 3) for cell in board.legal()}
    policy = {names[cell]: w / math.fsum(weights.values()) for cell, w in weights.items()}
    values = {names[cell]: (1 - toy.slow(board.play(cell))[1]) / 2 for cell in board.legal()}
    shown_policy = {cell: chance for cell, chance in policy.items() if chance >= 0.01}
    for command, wanted in (("hexai-policy", shown_policy), ("hexai-values w", values)):
        words = player.ask(command).split()
        shown = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        assert list(shown.values()) == sorted(shown.values(), reverse=True)
        assert shown == pytest.approx(wanted, abs=0.0051)
    searched = player.ask("hexai-search_values").split()
    assert len(searched) == 2 * WIDTHS[0]


@pytest.mark.parametrize("rule", RULES)
def test_the_first_move_is_the_fairest_where_it_may_be_swapped(rule: str) -> None:
    for seed in range(5):
        toy, board = Hashed(seed), SlowBoard.empty(4)
        values = {cell: -toy.slow(board.play(cell))[1] for cell in board.legal()}
        fairest = min(values, key=lambda cell: (abs(values[cell]), cell))
        wanted = cell_name(fairest, 4) if rule != "off" else slow_choice(board, toy, WIDTHS)[0]
        assert Player(toy, 4, rule).ask("genmove b") == wanted


@pytest.mark.parametrize("rule", RULES)
def test_white_swaps_what_is_worth_less_than_nothing(rule: str) -> None:
    toy, swapped = Hashed(5), 0
    for cell in range(16):
        board = SlowBoard.empty(4).play(cell)
        wanted, value = slow_choice(board, toy, WIDTHS)
        if rule != "off" and value < 0:
            wanted, swapped = SWAPS[rule], swapped + 1
        player = Player(toy, 4, rule)
        player.ask(f"play b {cell_name(cell, 4)}")
        assert player.ask("reg_genmove w") == wanted
        assert "swap" not in player.ask("reg_genmove b")
        assert player.ask("genmove w") == wanted
    assert (swapped > 0) == (rule != "off")


def test_swap_pieces_mirrors_the_stone_and_black_moves_next() -> None:
    player = Player(size=3)
    player.script("play b b1", "play w swap-pieces")
    assert stones_shown(player.ask("showboard")) == [0, 0, 0, -1, 0, 0, 0, 0, 0]
    assert player.engine.board.mover == RED
    assert player.engine.board.swapped
    player.refused("play b swap-pieces")
    player.refused("play w swap-pieces")
    player.script("play b b1", "undo", "undo")
    assert stones_shown(player.ask("showboard")) == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    player.ask("play w swap-pieces")


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("pieces", "swap"),
        ("pieces", "swap-sides"),
        ("sides", "SWAP-PIECES"),
        ("benzene", "swap-pieces"),
    ],
)
def test_swap_sides_moves_no_stone_and_white_moves_next(rule: str, word: str) -> None:
    player = Player(size=3, rule=rule)
    player.script("play b b1", f"play w {word}")
    assert stones_shown(player.ask("showboard")) == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert player.engine.board.mover == BLUE
    player.refused(f"play w {word}")
    assert "swap" not in player.ask("all_legal_moves")
    assert "swap" not in player.ask("genmove w")


def test_what_hexgui_sends() -> None:
    """In its order; after a swap it sets the board up again, in the order of the cells."""
    player = Player(size=11)
    player.script("name", "version", "hexgui-analyze_commands", "boardsize 5 5", "clear_board")
    player.script("play black c2", "showboard", "play white d4", "showboard", "undo", "showboard")
    player.script("clear_board", "play white b3", "showboard")
    assert "swap" not in player.ask("genmove black")
    player.script("undo", "play black c3", "showboard", "genmove white", "undo", "undo")
    assert player.engine.board.stones.count(0) == 24
    scan = ("a1 b", "b1 b", "c1 w", "a2 w", "b2 b", "e5 w")
    player.ask("clear_board")
    for words in scan:
        point, colour = words.split()
        player.ask(f"play {colour} {point}")
    shown = stones_shown(player.ask("showboard"))
    assert [shown[k] for k in (0, 1, 2, 5, 6, 24)] == [1, 1, -1, -1, 1, -1]
    player.script("genmove black", "quit")
    assert player.session.over


def test_win_probability_is_the_value_seen_otherwise() -> None:
    player = Player(Hashed(9), 3, "off")
    words = player.ask("hexai-win_probability w").split()
    value = slow_search(SlowBoard(SlowBoard.empty(3).stones, BLUE), WIDTHS, Hashed(9).slow)
    assert words[1:] == ["for", "white"]
    assert float(from_win_probability(torch.tensor(float(words[0])))) == pytest.approx(
        value.root_value, abs=0.0011
    )


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that choosers are given from here on; they search by widths instead."""
    noted = list[float]()

    def by_time(chooser: MoveChooser, board: Board, seconds: float) -> Choice:
        noted.append(seconds)
        return chooser.by_widths(board, (2,))

    monkeypatch.setattr(MoveChooser, "by_time", by_time)
    return noted


def test_the_clock_is_shared_out_and_fixed_seconds_come_first(given: list[float]) -> None:
    player = Player(size=11, rule="off")
    player.script("genmove b", "time_left w 300 0", "genmove b")
    assert given == []
    player.script("time_left b 300 0", "genmove b")
    assert given.pop() == pytest.approx(0.8 * 300 / math.ceil(119 / 4))
    player.script("time_left b 10 1", "genmove b", "genmove b", "time_left b 0 0", "genmove b")
    assert given[0] == pytest.approx(8)
    assert 7 < given[1] < 8
    assert given[2] == 0
    player.script("time_settings 60 0 0", "time_left b 100", "genmove b", "genmove w")
    assert given[3] == pytest.approx(0.8 * 100 / math.ceil(115 / 4))
    assert given[4] == pytest.approx(0.8 * 60 / math.ceil(114 / 4))
    player.script("clear_board", "genmove b", "time_settings 0 30 5", "genmove b")
    assert given[5] == pytest.approx(0.8 * 60 / math.ceil(121 / 4))
    assert given[6] == pytest.approx(0.8 * 30 / 5)
    player.script("time_settings 0 1 0", "genmove b")
    assert len(given) == 7
    player.script("time_left b 9 1", "param_search seconds 2", "genmove b")
    assert given[7:] == [2.0]


def test_periods_follow_the_main_time_and_each_other() -> None:
    clock = Clock(60.0, 0, 30.0, 3)
    assert clock.share(121) == pytest.approx(0.8 * (60 / 31 + 10))
    clock = clock.after(50.0)
    assert clock == Clock(10.0, 0, 30.0, 3)
    assert clock.after(10.0) == Clock(30.0, 2, 30.0, 3)
    clock = clock.after(15.0)  # the move in which main time ends is the first of a period
    assert clock == Clock(25.0, 2, 30.0, 3)
    assert clock.share(121) == pytest.approx(0.8 * 25 / 2)
    clock = clock.after(5.0)
    assert clock == Clock(20.0, 1, 30.0, 3)
    assert clock.after(19.0) == Clock(30.0, 3, 30.0, 3)  # what is left of a period is lost
    assert Clock(5.0).after(9.0) == Clock(0.0)
    assert Clock(60.0, 0, 10.0, 1).after(65.0) == Clock(10.0, 1, 10.0, 1)


def test_a_move_a_period_has_the_same_time_for_ever(given: list[float]) -> None:
    player = Player(Hashed(1), size=5, rule="off")
    player.script("time_settings 0 10 1", *["genmove b", "undo"] * 9)
    assert given == [8.0] * 9
    player.script("time_settings 60 10 2", "time_left b 4 1", "genmove b", "genmove b")
    assert given[9:] == [pytest.approx(0.8 * 4), pytest.approx(0.8 * 5)]


def test_real_seconds_are_used_and_not_exceeded() -> None:
    plan = InferencePlan("cpu", "eager", "float32", (16, 64), torch.get_num_threads())
    inference = ModelInference(random_network(1), plan)
    player = Player(inference, 11, "off", seconds=0.4)
    player.ask("hexai-policy")
    for _ in range(3):
        started = time.monotonic()
        player.ask("genmove b")
        # Below what was given only where there is nothing more to find out; a busy machine may
        # stumble once.
        assert 0.3 < time.monotonic() - started < 0.44 + 0.4


@pytest.mark.parametrize(
    ("lines", "begun", "advanced"),
    [
        ("genmove b; genmove w; genmove b; genmove w", 1, 3),
        ("genmove b; play w {0}; genmove b; play w {1}; genmove b", 1, 4),
        ("play b {0}; hexai-variation; play w {1}; play b {2}; play w {3}; genmove b", 1, 3),
        ("reg_genmove b; hexai-variation b; genmove b; hexai-win_probability", 1, 1),
        ("play b {0}; genmove w; undo; genmove w; genmove b", 1, 1),
        # Swaps do not change what the mover sees.
        ("play b {0}; hexai-variation w; play w swap-pieces; genmove b; genmove w", 1, 1),
        ("play b {0}; hexai-variation w; play w swap-sides; genmove w; genmove b", 1, 1),
        # No search can go back, follow moves out of turn, or see another side to move.
        ("genmove b; genmove w; undo; undo; genmove b; genmove w", 2, 2),
        ("genmove b; genmove b", 2, 0),
        ("genmove b; play b {0}; genmove b", 2, 0),
        ("hexai-variation b; hexai-variation w; hexai-variation b", 3, 0),
        ("genmove b; boardsize 6; genmove b; genmove w", 2, 1),
    ],
)
def test_the_tree_is_kept_while_moves_follow_each_other(
    lines: str, begun: int, advanced: int
) -> None:
    player = Player(Hashed(2), 5, "pieces" if "swap" in lines else "off", seconds=0.02)
    advance = PuctSearch.advance
    with (
        patch.object(chooser_module, "PuctSearch", wraps=PuctSearch) as begin_seen,
        patch.object(PuctSearch, "advance", autospec=True, side_effect=advance) as advance_seen,
    ):
        for line in lines.split("; "):
            board = player.engine.board
            player.ask(line.format(*(cell_name(cell, board.size) for cell in board.empty_cells())))
    assert (begin_seen.call_count, advance_seen.call_count) == (begun, advanced)
    player.ask("hexai-variation")
    kept = player.engine._chooser._kept
    assert kept
    assert torch.equal(kept[1].positions.labels, player.engine.board.position().labels)


def test_a_tree_kept_after_a_failed_search_is_not_trusted() -> None:
    faults: list[Exception] = []

    def stumble(_: Positions) -> None:
        if faults:
            raise faults.pop()

    player = Player(HashEvaluator(stumble), 5, "off", seconds=0.02)
    player.ask("genmove b")
    faults.append(NetworkError("the network failed"))
    player.refused("genmove w")
    player.script("genmove w", "genmove b", "hexai-variation")


def test_a_game_by_time_is_legal_and_lines_are_seen_by_their_movers() -> None:
    player = Player(Hashed(3), 4, "off", seconds=0.02)
    for number in range(16):
        if player.ask("final_score") != "cannot score":
            break
        line = player.ask("hexai-variation").split()
        assert len(set(line)) == len(line) > 0
        assert set(line) <= set(player.ask("all_legal_moves").split())
        player.ask(f"genmove {'bw'[number % 2]}")
    assert player.ask("final_score") in ("B+", "W+")


@pytest.mark.parametrize("level", [1, 5, 7])
def test_levels_play_whole_games(level: int) -> None:
    player = Player(Hashed(3), 4, "off", level=level)
    moves = [player.ask(f"genmove {'bw'[k % 2]}") for k in range(17)]
    assert "resign" in moves
    assert player.ask("param_search level") == str(level)


def test_levels_are_set_and_refused() -> None:
    player = Player(Hashed(3), 4, "off")
    player.ask("param_search level 3")
    assert player.ask("param_search level") == "3"
    player.ask("param_search level off")
    assert player.ask("param_search level") == "off"
    for bad in ("0", "11", "x", "-1"):
        assert player.refused(f"param_search level {bad}")


def test_no_time_at_all_still_gives_a_move() -> None:
    player = Player(rule="off")
    player.ask("time_left b 0 0")
    assert player.ask("genmove b") in {cell_name(cell, 4) for cell in range(16)}
