"""Matches: openings, colours, winners and scores are right, and other programs' faults are theirs.

Everything is seeded; a test that depends on draws says with what odds another seed would fail.
"""

import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluators import Hashed
from reference import RED, SlowBoard, slow_search
from torch import Tensor

from hex_ai.arena import match as arena
from hex_ai.arena import specs
from hex_ai.arena.foreign import HtpPlayer
from hex_ai.arena.match import match
from hex_ai.arena.openings import fair_cells, match_openings, read_openings, spread_openings
from hex_ai.arena.players import NO_MOVE, SWAPS, NetworkPlayer, RandomPlayer, Strategy, Turn
from hex_ai.arena.rating import Sprt, elo, expected_share, fit_ratings, interval
from hex_ai.arena.score import MatchGame, Score
from hex_ai.arena.specs import PlayerOptions, make_player
from hex_ai.cli.main import main
from hex_ai.errors import CheckpointError, EngineError, IllegalMoveError, SettingError, StoreError
from hex_ai.formats.trmph import read_trmph
from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.puct import levels
from hex_ai.puct.levels import LEVELS, PlayLevel, level, searched_moves
from hex_ai.puct.search import PuctSearch

pytestmark = pytest.mark.usefixtures("one_thread")


TOY = Path(__file__).parent / "htp_toy.py"


def random_pair() -> tuple[RandomPlayer, RandomPlayer]:
    return RandomPlayer("random", 1), RandomPlayer("random", 2)


def network() -> HexNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return HexNetwork(NetworkConfig(8, 1))


def slow_winner(size: int, moves: tuple[int, ...]) -> int:
    board = SlowBoard.empty(size)
    for cell in moves:
        row, column = divmod(cell, size)
        board = board.play(cell if board.mover == RED else column * size + row)
    return board.winner()


@pytest.mark.parametrize("flight", [1, 7, 256])
def test_games_are_whole_and_every_opening_has_both_colours(flight: int) -> None:
    games = match(*random_pair(), board_size=4, games=40, games_in_flight=flight, seed=3).games
    assert [game.number for game in games] == list(range(40))
    suite = spread_openings(4, 20, seed=3)
    assert len(set(suite)) == len(suite) == 20
    for game in games:
        assert game.moves[: len(suite[game.number // 2])] == suite[game.number // 2]
        assert game.first_is_red == (game.number % 2 == 0)
        assert game.end == "join"
        assert slow_winner(4, game.moves) == game.winner
        assert game.won == ((game.winner == RED) == game.first_is_red)
    # The same games whatever is played beside them.
    assert match(*random_pair(), board_size=4, games=40, seed=3).games == games


def test_openings_are_spread_over_the_board_and_then_drawn_by_the_seed() -> None:
    assert spread_openings(5, 2, 0) == [(0,), (12,)]
    assert spread_openings(5, 13, 0) == [(cell,) for cell in range(13)]
    assert sorted(spread_openings(5, 25, 0)) == [(cell,) for cell in range(25)]
    more = [spread_openings(3, 30, seed) for seed in (0, 0, 1)]
    assert more[0] == more[1] != more[2]
    assert sorted(more[0][:9]) == [(cell,) for cell in range(9)]
    assert more[0][:9] == more[2][:9]
    assert all(len(set(pair)) == len(pair) == 2 for pair in more[0][9:])
    assert len(set(more[0])) == 30


def test_openings_are_read_from_files(tmp_path: Path) -> None:
    listed, lines = tmp_path / "listed.json", tmp_path / "lines.txt"
    listed.write_text('[["a2", "d3"], ["b1"], []]')
    lines.write_text("\ufeff#4,a2d3\n\nhttps://trmph.com/hex/board#4,b1\n#4,\n")
    assert read_openings(listed, 4) == read_openings(lines, 4) == [(4, 11), (1,), ()]
    games = match(*random_pair(), board_size=4, openings=str(lines)).games
    assert [game.moves[:2] for game in games[:2]] == [(4, 11)] * 2
    assert [game.moves[0] for game in games[2:4]] == [1, 1]
    assert [game.first_is_red for game in games] == [True, False] * 3
    assert len(match(*random_pair(), board_size=4, openings=str(listed), games=4).games) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no opening"),
        ("[]", "holds no opening"),
        ("[1]", "not a list of lists of cells"),
        ('[["a1", 2]]', "not a list of lists of cells"),
        ('[["a1"]', "delimiter"),
        ('[["a1", "e1"]]', "'e1' is not on a board of 4x4"),
        ('[["a1", "a1"]]', "opening 1 has a cell twice"),
        ('[["a1"], ["b2"], ["a1"]]', "opening 3 is there twice"),
        ('[["a1","b1","a2","b2","a3","b3","a4"]]', "opening 1 is a game that is over"),
        ("#4,a1\n#5,a1", "line 2 is for 5x5"),
        ("#4,a1a1", "line 1 has a swap"),
        ("a1b2", "is not a TRMPH line"),
        ("[" * 100_000, "openings"),
    ],
)
def test_files_without_openings_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "openings"
    path.write_text(text)
    with pytest.raises(SettingError, match=re.escape(said)) as error:
        read_openings(path, 4)
    assert str(path) in str(error.value)
    path.write_bytes(b"#4,\xff")
    with pytest.raises(SettingError, match="not a text in UTF-8"):
        read_openings(path, 4)
    with pytest.raises(SettingError, match="directory"):
        read_openings(tmp_path, 4)


@pytest.mark.parametrize("size", [9, 11, 13])
def test_balanced_openings_are_pairs_of_stones_and_no_two_the_same(size: int) -> None:
    suite, last = match_openings("balanced", size, None), size**2 - 1
    assert len(suite) == 48
    assert all(len(set(opening)) == len(opening) == 2 for opening in suite)
    kinds = {min((red, blue), (last - red, last - blue)) for red, blue in suite}
    assert len(kinds) == 48


@pytest.mark.parametrize("size", [4, 5])
def test_fair_openings_are_those_of_values_nearest_0(size: int) -> None:
    """A cell and its 180° turn share a value; the turns come after all others."""
    toy, last = Hashed(3), size**2 - 1
    found = fair_cells(size, toy, torch.device("cpu"))
    values = [
        slow_search(SlowBoard.empty(size).play(cell), (8, 4), toy.slow).root_value
        for cell in range(size**2)
    ]
    unfair = [abs(values[cell] + values[last - cell]) for cell in range(size**2)]
    half = size**2 - size**2 // 2
    assert sorted(found[:half]) == list(range(half))
    assert [unfair[cell] for cell in found[:half]] == sorted(unfair[:half])
    assert list(found[half:]) == [last - cell for cell in found[:half] if 2 * cell != last]


class Stubborn:
    """Plays one move whatever the position."""

    def __init__(self, move: int) -> None:
        self.name, self._move = "stubborn", move

    def choose(self, turn: Turn) -> Tensor:
        return torch.full((len(turn.ids),), self._move)

    def close(self) -> None:
        pass


def test_games_are_saved_as_they_end(tmp_path: Path) -> None:
    """At each report the file holds all games so far; a pipe's reader waits for the end."""
    file, counts = tmp_path / "games", []

    def report(score: Score) -> None:
        lines = file.read_text().splitlines()
        assert sorted(lines) == sorted(Score(4, score.games).trmph().splitlines())
        counts.append((len(lines), score.asked))

    file.write_text("of an older match\n")
    score = match(
        *random_pair(), board_size=4, games=20, games_in_flight=3, save=file, report=report
    )
    assert len(counts) > 3
    assert counts[-1] == (20, 20)
    assert file.read_text() == score.trmph()


def test_who_gives_up_loses_and_an_illegal_move_is_an_error() -> None:
    for player, wins in ((Stubborn(NO_MOVE), 0), (RandomPlayer("random", 0), 8)):
        other = RandomPlayer("random", 1) if wins == 0 else Stubborn(NO_MOVE)
        score = match(player, other, board_size=4, games=8)
        assert score.wins == wins
        assert {game.end for game in score.games} == {"resign"}
    with pytest.raises(IllegalMoveError):
        match(Stubborn(0), RandomPlayer("random", 1), board_size=4, games=8)


def test_search_wins_what_it_should() -> None:
    """A search that sees two plies ahead takes every win at hand, which chance does not.

    On 3 × 3 that is enough to win more than half; the players are deterministic.
    """
    searcher = NetworkPlayer("net", network(), Strategy((9, 8)))
    score = match(searcher, RandomPlayer("random", 1), board_size=3, games=18)
    assert score.wins >= 13


def test_players_with_a_temperature_play_other_games() -> None:
    scores = []
    for temperature in (0.0, 1.0):
        pair = (
            NetworkPlayer(f"{k}", network(), Strategy(temperature=temperature), k) for k in (1, 2)
        )
        scores.append(match(*pair, board_size=4, games=32))
    assert scores[0].distinct == 16  # an opening and its 180° turn are one game
    assert scores[0].wins == 16  # each opening is won by the same colour both times
    played = [{game.moves for game in score.games} for score in scores]
    assert len(played[0]) == 16
    assert len(played[1]) > 24


def test_a_test_that_has_decided_ends_the_match() -> None:
    pair = RandomPlayer("random", 0), Stubborn(NO_MOVE)
    score = match(*pair, board_size=4, games=32, games_in_flight=2, sprt=(0.0, 400.0))
    assert 2 <= len(score.games) < 20
    assert score.wins == len(score.games)


class Racer:
    """Wins fast or loses slowly, as its games' numbers have it: quick wins must not count first."""

    name = "racer"

    def choose(self, turn: Turn) -> Tensor:
        legal = turn.positions.legal_moves()
        first = legal.double().argmax(1)
        gives_up = (turn.ids % 5 < 3) & (turn.plies > 4)
        return torch.where(gives_up, NO_MOVE, first)

    def close(self) -> None:
        pass


def test_a_test_does_not_depend_on_which_games_end_first() -> None:
    found = []
    for flight in (2, 16, 256):
        pair = RandomPlayer("random", 0), Racer()
        score = match(*pair, board_size=4, games=200, games_in_flight=flight, sprt=(-200.0, 200.0))
        found.append((score.verdict, [game.number for game in score.games], score.wins))
    assert found[0] == found[1] == found[2]
    assert found[0][0]
    assert found[0][1] == list(range(len(found[0][1])))
    # Games that are the same count once: two deterministic players can decide nothing by them.
    same = Score(3, [MatchGame(k, (4,), 1, "join", k % 2 == 0) for k in range(400)])
    assert not same.judge(Sprt(0.0, 50.0))


def test_groups_of_games_are_searched_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, positions = Hashed(3), Positions.empty(7, 5).play(torch.arange(7))
    collector = PositionCollector(toy)
    whole = searched_moves(positions, collector, 30)
    monkeypatch.setattr(levels, "MAX_NODES", 2 * 30 * levels.NODES_PER_EVALUATION)
    assert torch.equal(searched_moves(positions, collector, 30), whole)
    monkeypatch.setattr(levels, "MAX_NODES", 1)
    assert torch.equal(searched_moves(positions, collector, 30), whole)


def test_elo_and_interval_are_those_of_the_books() -> None:
    assert elo(0.75) == pytest.approx(190.8485)
    assert elo(0.5) == 0
    assert (elo(1.0), elo(0.0)) == (10_000, -10_000)
    for difference in (-300.0, 0.0, 12.5):
        assert elo(expected_share(difference)) == pytest.approx(difference)
    # R: binom.confint(81, 263, method = "wilson") gives 0.2552 to 0.3662.
    assert interval(81, 263) == pytest.approx((0.25525, 0.36618), abs=1e-4)
    assert interval(0, 0) == (0, 1)
    low, high = interval(10, 10)
    assert 0.7 < low < high == pytest.approx(1.0)


def test_the_probability_ratio_test_is_wrong_as_seldom_as_it_says() -> None:
    """Of 400 matches at the lower hypothesis 5 % are expected to be misjudged; 9 % would be chance
    once in 3,000 seeds."""
    sprt, draw = Sprt(0.0, 100.0), torch.Generator().manual_seed(0)
    for share, right in ((0.5, -1), (expected_share(100.0), 1)):
        wrong = 0
        for _ in range(400):
            wins = games = 0
            while not sprt.verdict(wins, games):
                wins += int(torch.rand(1, generator=draw).item() < share)
                games += 1
            wrong += sprt.verdict(wins, games) != right
        assert 0 < wrong <= 36


def test_ratings_explain_the_scores() -> None:
    truth = [0.0, 120.0, 250.0, 200.0]
    scores = {}
    for one in range(4):
        for other in range(one):
            won = round(10_000 * expected_share(truth[one] - truth[other]))
            scores[one, other] = (won, 10_000 - won)
    found = fit_ratings(scores, 4)
    assert [rating for rating, _ in found] == pytest.approx(truth, abs=1.0)
    assert found[0][1] == 0
    assert all(0 < spread < 10 for _, spread in found[1:])
    swept = fit_ratings({(1, 0): (20, 0)}, 2)
    assert 300 < swept[1][0] < 1000


def test_ratings_of_a_long_ladder_are_right_and_their_spread_adds_up() -> None:
    """30 rungs of 100 Elo, each linked to the one before: variances of the links add up."""
    won = round(100 * expected_share(100))
    found = fit_ratings({(k, k - 1): (won, 100 - won) for k in range(1, 30)}, 30)
    link = elo((won + 0.5) / 101)
    assert [rating for rating, _ in found] == pytest.approx([k * link for k in range(30)], abs=0.01)
    assert [spread for _, spread in found] == pytest.approx(
        [math.sqrt(k) * found[1][1] for k in range(30)]
    )


def test_spreads_are_those_of_ratings_fitted_again_and_again() -> None:
    """200 draws: a standard deviation is then known within 5 %, and 15 % is 3 times that."""
    draw, truth, games = torch.Generator().manual_seed(0), (0.0, 80.0, 160.0), 200
    pairs, last = [(1, 0), (2, 1), (2, 0)], []
    for _ in range(200):
        shares = torch.tensor([expected_share(truth[a] - truth[b]) for a, b in pairs])
        wins = (torch.rand(3, games, generator=draw) < shares[:, None]).sum(1).tolist()
        scores = {pair: (won, games - won) for pair, won in zip(pairs, wins, strict=True)}
        last.append(fit_ratings(scores, 3)[2])
    deviation = float(torch.tensor([rating for rating, _ in last]).std())
    assert 1.96 * deviation == pytest.approx(last[0][1], rel=0.15)


def htp(fault: str, seconds: float = 20.0) -> HtpPlayer:
    return HtpPlayer(f"htp:{fault}", f"{sys.executable} {TOY} {fault}", seconds)


def test_an_engine_that_speaks_htp_plays_whole_games() -> None:
    player = htp("first")
    try:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8)
    finally:
        player.close()
    assert player.faults == 0
    assert 0 < player.slowest <= player.seconds
    for game in score.games:
        assert slow_winner(4, game.moves) == game.winner
        mine = game.moves[len(spread_openings(4, 4, 0)[game.number // 2]) :]
        mine = mine[1::2] if game.first_is_red else mine[0::2]
        assert list(mine) == sorted(mine)


@pytest.mark.parametrize("habit", ["swaps", "chatty"])
def test_what_an_engine_does_by_habit_is_no_fault(habit: str) -> None:
    """One swaps unless it is told that nobody may; one talks before it answers."""
    player = htp(habit)
    try:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8)
    finally:
        player.close()
    assert player.faults == 0
    assert {game.end for game in score.games} == {"join"}


@pytest.mark.parametrize("fault", ["die", "occupied", "nonsense"])
def test_an_engines_faults_cost_it_the_game_and_no_more(fault: str) -> None:
    player = htp(fault)
    try:
        score = match(RandomPlayer("random", 1), player, board_size=4, games=4)
    finally:
        player.close()
    assert score.wins == 4
    assert player.faults == 4


def test_an_engine_that_is_late_loses_and_one_that_resigns_has_no_fault() -> None:
    for fault, faults in (("hang", 2), ("resign", 0)):
        player = htp(fault, 3.0)
        try:
            score = match(RandomPlayer("random", 1), player, board_size=4, games=2)
        finally:
            player.close()
        assert score.wins == 2
        assert player.faults == faults


@pytest.mark.parametrize("name", ["openspiel:", "openspiel:mcts-0", "openspiel:mcts-x"])
def test_names_of_no_search_of_openspiel_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match="want openspiel:mcts-1000"):
        make_player(name, PlayerOptions())


@pytest.mark.parametrize("strategy", ["", "0", "a,b", "3;2", "1,1,1,1,1,1,1", "0s", "s", "-1"])
def test_strategies_that_are_none_are_refused(strategy: str) -> None:
    with pytest.raises(SettingError, match=f"{re.escape(repr(strategy))} is none of"):
        make_player(f"shipped@{strategy}", PlayerOptions())


@pytest.mark.parametrize("number", [0, 11])
def test_levels_that_are_not_there_are_refused(number: int) -> None:
    with pytest.raises(SettingError, match=f"level {number} is outside 1 to 10"):
        make_player(f"shipped@level{number}", PlayerOptions())


def test_a_network_that_is_not_there_is_an_error() -> None:
    for name in ("htp:", "nowhere.pt", "nowhere.pt@policy"):
        with pytest.raises(CheckpointError, match=name.partition("@")[0]):
            make_player(name, PlayerOptions())


def test_an_engine_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="no-such-engine"):
        make_player("htp:no-such-engine --x", PlayerOptions())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"board_size": 2}, "board size 2 is below 3"),
        ({"board_size": 20}, "20"),
        ({"games": 3}, "3 games: want an even number"),
        ({"games": 0}, "0 games: want an even number"),
        ({"games_in_flight": 0}, "games in flight 0"),
        ({"board_size": 3, "games": 92}, "92 games: there are not so many openings"),
        ({"openings": "odd"}, "'odd': neither 'spread', 'fair' nor 'balanced', nor a file"),
        ({"openings": "balanced", "board_size": 5}, "are there for 9, 11, 13, not for 5"),
        ({"openings": "balanced", "games": 98}, "98 games: openings 'balanced' are 48"),
        ({"sprt": (5.0, 0.0)}, "5,0 are not ascending"),
        ({"device": "tpu"}, "tpu"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"move_seconds": 0.0}, "0 seconds a move"),
    ],
    ids=str,
)
def test_impossible_matches_are_refused(setting: dict[str, Any], said: str, tmp_path: Path) -> None:
    save = tmp_path / "games.trmph"
    with pytest.raises(SettingError, match=said):
        match("random", "random", save=save, **setting)
    assert not save.exists()


class Closable(RandomPlayer):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_options_reach_the_players_and_only_those_that_a_match_makes_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, PlayerOptions] = {}
    players = {name: Closable(name, 0) for name in ("one", "other", "given")}

    def make(name: str, options: PlayerOptions) -> Closable:
        made[name] = options
        return players[name]

    monkeypatch.setattr(arena, "make_player", make)
    small = {"board_size": 3, "games": 2, "seed": 7}
    match("one", "other", **small, temperature=0.5, move_seconds=3.0, device="cpu")
    # Other draws for each, or a network that meets itself would play the same games twice.
    assert made == {
        "one": PlayerOptions(0.5, 14, 3.0, "cpu"),
        "other": PlayerOptions(0.5, 15, 3.0, "cpu"),
    }
    with pytest.raises(IllegalMoveError):
        match("one", Stubborn(0), **small)
    assert [player.closed for player in players.values()] == [2, 1, 0]
    match(players["given"], "one", **small)
    assert [player.closed for player in players.values()] == [3, 1, 0]


def test_a_file_that_cannot_be_written_is_refused_before_the_match(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        match(Stubborn(0), Stubborn(0), save=tmp_path / "nowhere" / "games.trmph")


def test_there_are_as_many_openings_as_cells_and_pairs_of_them() -> None:
    score = match("random", Stubborn(NO_MOVE), board_size=3, games=90)
    assert (
        len({game.moves[:2] if game.number >= 18 else game.moves[:1] for game in score.games}) == 45
    )


def test_settings_of_players_and_tests_that_cannot_be_meant_are_refused() -> None:
    for seconds in (0.0, -1.0, math.nan, math.inf, 3e6):
        with pytest.raises(SettingError, match="seconds a move"):
            PlayerOptions(move_seconds=seconds)
    for temperature in (-1.0, math.nan):
        with pytest.raises(SettingError, match="temperature"):
            PlayerOptions(temperature)
    for low, high in ((1.0, 1.0), (5.0, 0.0), (math.nan, 1.0), (0.0, 9000.0)):
        with pytest.raises(SettingError):
            Sprt(low, high)


def test_score_lines_say_what_was_played() -> None:
    games = [MatchGame(k, (k,), 1, "join", k < 3) for k in range(4)]
    line = Score(3, games).line()
    assert line.startswith("3 of 4 won, 75.0%")
    assert "Elo +191" in line
    assert Score(3, games[:3]).line() == "3 of 3 won, 100.0% (43.9% to 100.0%), Elo above -43"
    lost = [replace(game, first_is_red=False) for game in games[:3]]
    assert Score(3, lost).line() == "0 of 3 won, 0.0% (0.0% to 56.1%), Elo below +43"
    assert Score(3, games).distinct == 4
    assert Score(3, [games[0], games[0]]).distinct == 1
    rotated = MatchGame(5, (8,), 1, "join", first_is_red=True)
    assert Score(3, [games[0], rotated]).distinct == 1
    # What is played twice tells no more than what is played once.
    assert Score(3, [games[0], rotated]).line().endswith(Score(3, games[:1]).line()[20:])


def test_the_command_plays_saves_and_reports_what_python_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, saved, again = tmp_path / "net.pt", tmp_path / "games.trmph", tmp_path / "again.trmph"
    save_checkpoint(path, network())
    arguments = ["match", f"{path}@policy", "random", "--board-size", "4", "--games", "10"]
    flags = ["--temperature", "1", "--seed", "3", "--openings", "fair", "--save", str(saved)]
    monkeypatch.setattr(sys, "argv", ["hex-ai", *arguments, *flags, "--sprt", "-900,900"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    told: list[int] = []
    score = match(
        f"{path}@policy",
        "random",
        board_size=4,
        games=10,
        temperature=1.0,
        seed=3,
        openings="fair",
        sprt=(-900.0, 900.0),
        save=again,
        report=lambda so_far: told.append(len(so_far.games)),
    )
    assert told == sorted(set(told))
    assert told[-1] == 10
    red = sum(game.winner == RED for game in score.games)
    assert capsys.readouterr().out.splitlines() == [
        f"{path}@policy against random, 4x4: {score.line()}",
        f"{score.distinct} of {len(score.games)} games distinct, {red} won by Red",
        f"Elo {({-1: '-900', 0: 'neither', 1: '+900'})[score.verdict]} accepted",
    ]
    assert saved.read_text() == again.read_text()
    lines = [read_trmph(line) for line in saved.read_text().splitlines()]
    assert len(lines) == 10
    assert [line.winner for line in lines][: len(score.games)] == [g.winner for g in score.games]
    assert all(slow_winner(4, line.moves) == line.winner for line in lines)


class Dying:
    """Gives up every game it is asked about, and dies the fourth time."""

    name, asked = "dying", 0

    def choose(self, turn: Turn) -> Tensor:
        self.asked += 1
        if self.asked == 4:
            raise EngineError("dead")
        return torch.full((len(turn.ids),), NO_MOVE)

    def close(self) -> None:
        pass


def test_a_match_that_breaks_off_keeps_its_games(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "games.trmph"
    line = ["hex-ai", "match", "random", "random", "--board-size", "4", "--save", str(saved)]

    def ended(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", [*line, *more])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code not in (0, None)
        return capsys.readouterr().err

    saved.write_text("of another match")
    assert "7 games" in ended("--games", "7")
    monkeypatch.setattr(arena, "make_player", lambda *_: Dying())
    said = ended("--games", "20", "--games-in-flight", "2")
    assert "broken off" in said
    assert "dead" in said
    games = [read_trmph(text) for text in saved.read_text().splitlines()]
    assert 0 < len(games) < 20
    monkeypatch.setattr(Dying, "asked", 3)
    assert "broken off" not in ended("--games", "20")
    assert [read_trmph(text) for text in saved.read_text().splitlines()] == games


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ("", Strategy((3, 2), temperature=0.5)),
        ("@policy", Strategy(temperature=0.5)),
        ("@8,4", Strategy((8, 4), temperature=0.5)),
        ("@12", Strategy(evaluations=12)),
        ("@0.02s", Strategy(seconds=0.02)),
        ("@level1", Strategy(level=LEVELS[0])),
        ("@level10", Strategy(level=LEVELS[9])),
    ],
)
def test_names_of_networks_say_how_they_play(
    text: str, strategy: Strategy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a@b.pt"
    save_checkpoint(path, network())
    made = []
    monkeypatch.setattr(specs, "NetworkPlayer", lambda *given: made.append(given))
    make_player(f"{path}{text}", PlayerOptions(0.5, 7))
    ((name, _, chosen, seed, device),) = made
    assert (name, chosen, seed, device) == (f"{path}{text}", strategy, 7, "cpu")


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(),
        Strategy((3, 2)),
        Strategy(evaluations=12),
        Strategy(seconds=0.02),
        Strategy(level=LEVELS[0]),
        Strategy(level=LEVELS[6]),
    ],
    ids=str,
)
def test_every_strategy_plays_whole_games(strategy: Strategy) -> None:
    player = NetworkPlayer("net", network(), strategy)
    score = match(player, RandomPlayer("random", 1), board_size=4, games=6)
    assert len(score.games) == 6
    assert all(slow_winner(4, game.moves) == game.winner for game in score.games)


def test_levels_are_what_they_say() -> None:
    assert level(1) == LEVELS[0]
    temperatures = [one.temperature(11) for one in LEVELS]
    assert temperatures == sorted(temperatures, reverse=True)
    assert [PlayLevel(5.5, 0).temperature(size) for size in (5, 11)] == [1.1, 0.5]
    for board_size, temperature in ((7, 5.2 / 7), (11, 5.2 / 11)):
        assert Strategy(level=LEVELS[4]).on(board_size) == Strategy(temperature=temperature)
    assert Strategy(level=LEVELS[9]).on(11) == Strategy(evaluations=60)
    work = [one.evaluations for one in LEVELS]
    assert work == sorted(work)


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(),
        Strategy(temperature=5.0),
        Strategy((3, 2)),
        Strategy((3, 2), temperature=5.0),
        Strategy(evaluations=20),
    ],
    ids=str,
)
def test_networks_swap_what_they_find_worth_less_than_nothing(
    strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values are those of a search at temperature 0, whatever the moves are drawn at."""
    player, toy = NetworkPlayer("net", network(), strategy), Hashed(3)
    monkeypatch.setattr(player.model, "batch_infer", toy.batch_infer)
    openings = Positions.empty(16, 4).play(torch.arange(16))
    collector = PositionCollector(toy)
    if strategy.widths:
        tree = build_search_tree_with_collection(openings, strategy.widths, 0.0, collector)
        values = tree.values
    elif strategy.evaluations:
        values = PuctSearch(openings, collector).search(evaluations=20).values
    else:
        values = collector.evaluate(openings)[1]
    ids, moves = torch.arange(16), [[cell] for cell in range(16)]
    free = player.choose(Turn(openings, ids, moves))
    every_other = ids % 2 == 0
    asked = player.choose(Turn(openings, ids, moves, every_other))
    swaps = every_other & (values < 0)
    assert 0 < int(swaps.sum()) < 8
    assert torch.equal(asked, torch.where(swaps, SWAPS, free))
