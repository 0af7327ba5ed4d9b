"""Games that end before the last stone: the same games, cut where the rules say, and said so.

The toy's values are spread over ±1, so with a low threshold many games are given up.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import Hashed
from test_selfplay_modes import print_of

from hex_ai.errors import SettingError
from hex_ai.formats.trmph import read_trmph, write_trmph
from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.records import BLUE, RED, GameRecord
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.selfplay.stopping import played_on
from hex_ai.store.replay import find_faults, replay
from hex_ai.store.summary import RunSummary

BOTH = ("proven", "resign")
WHOLE = SelfPlaySettings(5, (3, 2), resign_threshold=0.4, resign_played_on=0.3)


def play(
    settings: SelfPlaySettings, device: torch.device, count: int = 80, **mode: Any
) -> list[GameRecord]:
    runner = Runner(Hashed(2), settings, device=device, **{"games_in_flight": 40} | mode)
    games = [game for some in runner.play(range(count)) for game in some]
    return sorted(games, key=lambda game: game.game_id)


def stopping(*rules: str, **change: Any) -> SelfPlaySettings:
    return dataclasses.replace(WHOLE, stop=rules, **change)


def proven_ply(game: GameRecord) -> int | None:
    """The first ply from the second on after which the mover's win is proven."""
    for ply, position in enumerate(replay(5, game.moves.tolist())[2:], 1):
        if bool(opponent_has_won(position)):
            return ply
    return None


@pytest.mark.parametrize("rules", [("proven",), ("resign",), BOTH], ids=str)
def test_a_stopped_game_is_the_start_of_the_whole_one(
    rules: tuple[str, ...], device: torch.device
) -> None:
    whole, ends = play(WHOLE, device), []
    exempt = played_on(0, torch.arange(80), 0.3).tolist()
    for game, other in zip(play(stopping(*rules), device), whole, strict=True):
        plies: dict[int, str] = {len(other.moves) - 1: "join"}
        given_up = other.first_resignation(0.4)
        if "resign" in rules and given_up and not exempt[game.game_id]:
            plies.setdefault(given_up[0], "resign")
        proof = proven_ply(other)
        if "proven" in rules and proof is not None and proof < len(other.moves) - 1:
            plies[proof] = "proven"
        last = min(plies)
        assert (game.end, len(game.moves)) == (plies[last], last + 1)
        assert game.winner == (RED if last % 2 == 0 else BLUE)
        for name, value in vars(game).items():
            if isinstance(value, np.ndarray):
                assert value.tobytes() == getattr(other, name)[: last + 1].tobytes()
        ends.append(game.end)
    assert {"join", *rules} == set(ends)


@pytest.mark.parametrize(
    "mode", [{"games_in_flight": 1}, {"workers": 3}, {"batched": False, "games_in_flight": 4}]
)
def test_stopped_games_are_the_same_in_every_mode(
    mode: dict[str, Any], device: torch.device
) -> None:
    expected, games = play(stopping(*BOTH), device, 30), play(stopping(*BOTH), device, 30, **mode)
    assert [print_of(game) for game in games] == [print_of(game) for game in expected]


@pytest.mark.parametrize(
    "change",
    [{"stop": ("resign",)}, {"resign_threshold": 0.6}, {"resign_played_on": 1.0}, {"stop": ()}],
    ids=str,
)
def test_every_setting_changes_where_games_end(
    change: dict[str, Any], device: torch.device
) -> None:
    games, others = (
        play(settings, device)
        for settings in (stopping(*BOTH), dataclasses.replace(stopping(*BOTH), **change))
    )
    assert [len(game.moves) for game in games] != [len(game.moves) for game in others]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"stop": ("give-up",)}, {"stop": ("resign", "resign")}, {"stop": ("none", "proven")}),
        *({"resign_threshold": value} for value in (0.0, -1.0, 1.1, float("nan"))),
        *({"resign_played_on": value} for value in (-0.1, 1.1, float("nan"))),
    ],
    ids=str,
)
def test_rules_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        dataclasses.replace(WHOLE, **wrong)


def test_the_share_of_games_played_on_is_keyed_and_as_asked() -> None:
    """Of 20,000 draws, 5 standard deviations off 0.1 by these seeds would have odds of 1e-6."""
    ids = torch.arange(20_000)
    chosen = played_on(1, ids, 0.1)
    assert abs(float(chosen.double().mean()) - 0.1) < 5 * (0.1 * 0.9 / 20_000) ** 0.5
    assert torch.equal(played_on(1, ids[77:78], 0.1), chosen[77:78])
    assert not torch.equal(played_on(2, ids, 0.1), chosen)
    assert not bool(played_on(1, ids, 0.0).any())
    assert bool(played_on(1, ids, 1.0).all())


def test_a_summary_counts_who_would_have_resigned_and_won() -> None:
    games = play(stopping("resign"), torch.device("cpu"))
    summary = RunSummary(resign_threshold=0.4)
    for game in games:
        summary.add(game)
    report = summary.to_json()
    assert report["ends"].keys() == {"join", "resign"}
    judged = [
        (found[1], game.winner)
        for game in games
        if game.end == "join" and (found := game.first_resignation(0.4))
        if found[0] < len(game.moves) - 1  # else nobody had the time
    ]
    wrong = sum(guess != winner for guess, winner in judged)
    assert (report["played_on"], report["misjudged"]) == (len(judged), wrong)
    assert 0 < wrong < len(judged)


def test_wrong_ends_are_faults() -> None:
    games = play(stopping(*BOTH, board_size=6), torch.device("cpu"))
    assert find_faults(games) == []
    by_end = {game.end: game for game in games}
    whole = play(dataclasses.replace(WHOLE, board_size=6), torch.device("cpu"))[0]
    planted = {
        "winner": dataclasses.replace(by_end["proven"], winner=-by_end["proven"].winner),
        "not proven": dataclasses.replace(by_end["resign"], end="proven"),
        "not over": dataclasses.replace(by_end["resign"], end="join"),
        "reason to resign": dataclasses.replace(
            by_end["resign"], values=-np.abs(by_end["resign"].values)
        ),
        "before it was stopped": dataclasses.replace(whole, end="proven"),
    }
    for text, game in planted.items():
        (fault,) = find_faults([game])
        assert text in fault


def test_an_exported_line_says_how_the_game_ended() -> None:
    for end in ("join", "proven", "resign"):
        line = write_trmph(5, [0, 7], RED, end)
        assert line == "#5,a1c2 r" + {"join": ""}.get(end, f" {end}")
        assert read_trmph(line).end == end


def test_nobody_wins_before_the_swap_is_decided(device: torch.device) -> None:
    """The centre of 3 × 3 is proven at once, so Blue must get to take it."""
    centre = Positions.empty(1, 3, device).play(torch.tensor([4], device=device))
    assert bool(opponent_has_won(centre))
    settings = SelfPlaySettings(3, (9, 2), stop=("proven",))
    games = play(settings, device)
    assert any(game.moves[0] == 4 and not game.swapped for game in games)
    assert all(len(game.moves) >= 2 for game in games)
