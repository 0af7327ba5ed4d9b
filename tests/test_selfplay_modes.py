"""Self-play in every mode gives the same games, and each is the game of the slow reference.

The toy evaluators are exact, so nothing may differ, not in the last bit. Every test is seeded and
none can fail by chance.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import Hashed, Toy, Uniform
from reference import BLUE, RED, SlowBoard, SlowSearch, slow_search

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.game.records import NO_CELL, POLICY_ENTRIES, SWAP, GameRecord
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.keyed_random import Stream, gumbel_noise, uniform_noise
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.openings import uniform_cells
from hex_ai.selfplay.runner import GameIds, Runner
from hex_ai.selfplay.settings import SelfPlaySettings

Share = Callable[[int, int], int]

TOYS: list[Callable[[], Toy]] = [
    lambda: Hashed.coarse(1, finished_value=math.nan),
    lambda: Hashed(2),
    lambda: Uniform(-0.0),
    lambda: Uniform(0.25),
]

# The games of the first mode are what the others must repeat.
MODES: list[dict[str, Any]] = [
    {"games_in_flight": 16},
    {"games_in_flight": 1},
    {"games_in_flight": 5},
    {"games_in_flight": 60},
    {"games_in_flight": 1, "batched": False},
    {"games_in_flight": 5, "batched": False},
    {"games_in_flight": 5, "workers": 2},
    {"games_in_flight": 16, "workers": 3},
    {"games_in_flight": 60, "workers": 2, "batch_size": 7},
    {"games_in_flight": 4, "workers": 3, "batch_size": 1},
    {"games_in_flight": 9, "workers": 3, "batch_size": 1024, "max_batch_delay_ms": 0.5},
]

STYLES: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0, "value_weight": 1.5},
    {"temperature": 0.7, "value_weight": 1.5, "searched": 0.4},
]

STARTS = list(itertools.product(("uniform", "policy", "empty"), (True, False)))

sizes_and_widths = pytest.mark.parametrize(
    ("size", "widths"), list(itertools.product((3, 4, 5, 7), ((3, 2), (5, 4, 3)))), ids=str
)


def settings_for(size: int, widths: tuple[int, ...], count: int) -> list[SelfPlaySettings]:
    """Openings with and without swap, others for each size; all of them if `count` is 6."""
    first = size + len(widths)
    return [
        SelfPlaySettings(
            size,
            widths,
            seed=k,
            opening=STARTS[k % 6][0],
            swap=STARTS[k % 6][1],
            **STYLES[(k + size) % 3],
        )
        for k in range(first, first + count)
    ]


def gaps(count: int) -> Iterator[int]:
    """Ids as a generator gives them: apart, unordered, and large."""
    return (number * 7919 % 1000 + 2**40 * (number % 3) for number in range(count))


def play(
    toy: Toy, settings: SelfPlaySettings, ids: Iterable[int], device: torch.device, **mode: Any
) -> list[GameRecord]:
    """The games of a run, by id."""
    runner = Runner(toy, settings, device=device, network="toy", **mode)
    games = [game for some in runner.play(ids) for game in some]
    assert runner.searches == sum(searches(game, settings) for game in games)
    return sorted(games, key=lambda game: game.game_id)


def searches(game: GameRecord, settings: SelfPlaySettings) -> int:
    """One a searched ply, and one more where Blue thought of a swap and did not."""
    return int(game.search.sum()) + (settings.swap and not game.swapped)


def print_of(game: GameRecord) -> dict[str, Any]:
    """Every field with its type, bit for bit."""
    fields = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)}
    return {
        name: (str(field.dtype), field.shape, field.tobytes())
        if isinstance(field, np.ndarray)
        else (type(field), field)
        for name, field in fields.items()
    }


@pytest.mark.timeout(900)
@sizes_and_widths
def test_every_mode_plays_the_same_games(
    size: int, widths: tuple[int, ...], share: Share, device: torch.device
) -> None:
    """A few of the modes for each setting, all of them over the settings; every id once.

    Slow modes play some of the ids only: a game does not depend on what else is played.
    """
    games = share(5, 24)
    modes = itertools.cycle(MODES[1:])
    for _ in range(size * len(widths)):
        next(modes)
    for settings in settings_for(size, widths, share(3 if size < 5 else 2, 6)):
        make = TOYS[settings.seed % len(TOYS)]
        ids = list(gaps(games))
        want = play(make(), settings, gaps(games), device, **MODES[0])
        assert [game.game_id for game in want] == sorted(ids)
        prints = {game.game_id: print_of(game) for game in want}
        for mode in itertools.islice(modes, share(2, len(MODES) - 1)):
            slow = mode["games_in_flight"] == 1 or "batched" in mode
            some = ids[: share(1 if size * len(widths) > 10 else 2, 4)] if slow else ids
            toy = make()
            found = play(toy, settings, some, device, **mode)
            assert [game.game_id for game in found] == sorted(some)
            for game in found:
                assert print_of(game) == prints[game.game_id], mode
            assert toy.largest == 1 or mode.get("batched", True)


def canonical_cell(cell: int, board: SlowBoard) -> int:
    """The cell as the mover sees it, of a cell of the board as it lies."""
    row, col = divmod(cell, board.size)
    return cell if board.mover == RED else col * board.size + row


def check_search(game: GameRecord, ply: int, board: SlowBoard, toy: Toy, slow: SlowSearch) -> None:
    """What the record says of a ply is what the slow search found, but for move and policy."""

    def seen(cells: Any) -> list[int]:
        return [canonical_cell(cell, board) for cell in cells.tolist() if cell != NO_CELL]

    width = len(slow.candidates)
    assert game.search[ply] == 1
    assert game.values[ply] == slow.root_value
    assert seen(game.candidate_cells[ply]) == slow.candidates
    assert game.candidate_priors[ply, :width] == pytest.approx(slow.priors, rel=1e-6)
    assert game.candidate_values[ply, :width].tolist() == slow.q
    assert (game.candidate_cells[ply, width:] == NO_CELL).all()
    assert not game.candidate_priors[ply, width:].any()
    assert not game.candidate_values[ply, width:].any()
    logits, _ = toy.slow(board)
    favourite = min(board.legal(), key=lambda cell: (-logits[cell], cell))
    assert seen(game.preferred[ply : ply + 1]) == [favourite]


def check_policy(game: GameRecord, ply: int, board: SlowBoard, slow: SlowSearch) -> None:
    """The largest entries of the improved policy, largest first, and the sum of the others."""
    kept = min(POLICY_ENTRIES, len(board.legal()))
    cells = [canonical_cell(cell, board) for cell in game.policy_cells[ply, :kept].tolist()]
    chances = game.policy_probabilities[ply]
    policy = slow.improved_policy
    assert chances[:kept] == pytest.approx([policy[cell] for cell in cells], rel=1e-6)
    assert not chances[kept:].any()
    assert (game.policy_cells[ply, kept:] == NO_CELL).all()
    assert set(cells) <= set(board.legal())
    assert len(set(cells)) == kept
    left = [policy[cell] for cell in board.legal() if cell not in cells]
    assert max(left, default=0.0) <= min(chances[:kept]) * (1 + 1e-6)
    assert game.policy_rest[ply] == pytest.approx(math.fsum(left), abs=1e-6)
    assert (np.diff(chances) <= 0).all()


def check_unsearched(game: GameRecord, ply: int) -> None:
    """Nothing was seen, so nothing is recorded but the move."""
    for name in ("search", "values", "candidate_priors", "candidate_values"):
        assert not getattr(game, name)[ply].any(), name
    assert (game.candidate_cells[ply] == NO_CELL).all()
    assert game.preferred[ply] == NO_CELL
    check_no_policy(game, ply)


def check_no_policy(game: GameRecord, ply: int) -> None:
    assert (game.policy_cells[ply] == NO_CELL).all()
    assert not game.policy_probabilities[ply].any()
    assert not game.policy_rest[ply].any()


def chosen_of(slow: SlowSearch, fair: bool) -> int:
    """The move of a search; a fair one is nearest the value 0."""
    if not fair:
        return slow.chosen
    order = zip(slow.q, slow.priors, slow.candidates, strict=True)
    return min((abs(q), -prior, cell) for q, prior, cell in order)[2]


def temperature_at(ply: int, settings: SelfPlaySettings) -> tuple[float, float]:
    """Temperature and value weight of a ply, as docs/search.md has them."""
    if ply == 0 and settings.opening == "policy":
        return 1.0, 0.0
    if settings.temperature is not None:
        return settings.temperature, settings.value_weight
    return 1.0 - 0.9 * min(1.0, ply / settings.board_size), settings.value_weight


def is_searched(game: GameRecord, ply: int, settings: SelfPlaySettings) -> bool:
    key = torch.tensor([game.game_id]), torch.tensor([Stream.SEARCHED - ply])
    return bool(uniform_noise(settings.seed, *key) < settings.searched)


def replay(game: GameRecord, settings: SelfPlaySettings, toy: Toy) -> None:
    """Plays a game again by the slow rules and the slow search, and checks all that it records."""
    board, size = SlowBoard.empty(settings.board_size), settings.board_size
    for ply, move in enumerate(game.moves.tolist()):
        if ply == 0 and settings.opening == "uniform":
            check_unsearched(game, ply)
            first = uniform_cells(settings.seed, torch.tensor([game.game_id]), size**2)
            assert move == first.item()
            board = board.play(move)
            continue
        if ply == 1 and settings.swap:
            assert board.mover == BLUE
            cold = slow_search(board, settings.search_widths, toy.slow)
            assert (move == SWAP) == (cold.root_value < 0)
            if move == SWAP:
                check_search(game, ply, board, toy, cold)
                check_no_policy(game, ply)
                board = board.swap()
                continue
        temperatures, weight = temperature_at(ply, settings)
        key = torch.tensor([game.game_id]), torch.tensor([ply])
        noise = gumbel_noise(settings.seed, *key, size**2)[0].tolist()
        if not is_searched(game, ply, settings):
            check_unsearched(game, ply)
            one = slow_search(board, (1,), toy.slow, noise, temperatures, weight)
            assert canonical_cell(move, board) == one.candidates[0]
            board = board.play(one.candidates[0])
            continue
        if settings.searched < 1:
            temperatures = 1.0
        slow = slow_search(board, settings.search_widths, toy.slow, noise, temperatures, weight)
        check_search(game, ply, board, toy, slow)
        check_policy(game, ply, board, slow)
        chosen = chosen_of(slow, ply == 0 and settings.opening == "empty" and settings.swap)
        assert canonical_cell(move, board) == chosen
        board = board.play(chosen)  # refuses a move after the end
    assert board.winner() == game.winner != 0


def test_about_as_many_plies_are_searched_as_asked_for(device: torch.device) -> None:
    settings = SelfPlaySettings(5, (2,), searched=0.25)
    games = play(Hashed(2), settings, range(60), device, games_in_flight=20)
    searched = sum(int(game.search.sum()) for game in games)
    assert abs(searched / sum(len(game.moves) - 1 for game in games) - 0.25) < 0.05
    assert all(any(game.search) for game in games), "whether to swap is always searched"


@pytest.mark.timeout(900)
@sizes_and_widths
def test_games_are_those_of_the_slow_reference(
    size: int, widths: tuple[int, ...], share: Share, device: torch.device
) -> None:
    few = {3: 3, 4: 1, 5: 1, 7: 1}[size]
    for settings in settings_for(size, widths, share(3 if size < 7 else 2, 6)):
        for make in TOYS[: share(4 if size < 5 else 2, 4)]:
            toy = make()
            for game in play(toy, settings, gaps(share(few, 6 * few)), device, games_in_flight=8):
                assert (game.board_size, game.end, game.network) == (size, "join", "toy")
                replay(game, settings, toy)
                assert settings.swap or not game.swapped


@pytest.mark.parametrize("opening", ["uniform", "policy", "empty"])
def test_blue_swaps_in_some_games_and_not_in_others(opening: str, device: torch.device) -> None:
    """Else the tests above would have shown one side of the pie rule only."""
    settings = SelfPlaySettings(4, (3, 2), opening=opening)
    games = play(Hashed(2), settings, range(60), device, games_in_flight=60)
    assert 0 < sum(game.swapped for game in games) < 60
    for game in games:
        assert game.swapped == (game.moves[1] == SWAP)
        assert SWAP not in np.delete(game.moves, 1)
        agreed = [m == p for m, p in zip(game.moves, game.preferred, strict=True) if p != NO_CELL]
        searched = int(game.search.sum()) - game.swapped
        assert game.agreement == (sum(agreed), searched)


def test_ties_of_the_improved_policy_go_to_the_lower_cell(device: torch.device) -> None:
    """Early on all cells are worth the same to this toy, so the first legal ones are recorded."""
    settings = SelfPlaySettings(7, temperature=0.0, opening="empty", swap=False)
    (game,) = play(Uniform(0.25), settings, [0], device, games_in_flight=1)
    board = SlowBoard.empty(7)
    for ply in range(2):
        cells = [canonical_cell(cell, board) for cell in game.policy_cells[ply].tolist()]
        assert cells == board.legal()[:POLICY_ENTRIES]
        board = board.play(canonical_cell(int(game.moves[ply]), board))


def test_records_have_the_shapes_and_types_they_promise(device: torch.device) -> None:
    settings = SelfPlaySettings(5, (30, 2))
    for game in play(Hashed(2), settings, range(6), device, games_in_flight=3):
        plies = len(game.moves)
        wide = {"candidate": 25, "policy": POLICY_ENTRIES}
        for field in dataclasses.fields(game):
            entry = getattr(game, field.name)
            if not isinstance(entry, np.ndarray):
                continue
            part, _, kind = field.name.partition("_")
            assert entry.shape == ((plies,) if kind in ("", "rest") else (plies, wide[part]))
            cells = field.name in ("moves", "preferred", "candidate_cells", "policy_cells")
            assert entry.dtype == (
                np.uint8 if field.name == "search" else np.int16 if cells else np.float32
            )
            assert entry.flags.owndata  # and so does not keep the others of its step alive
            assert np.isfinite(entry).all()
            low, high = (NO_CELL, 24) if cells else (-1, 1)
            assert ((entry >= low) & (entry <= high)).all()
        assert all(type(game.__dict__[name]) is int for name in ("game_id", "winner"))


@pytest.mark.parametrize(
    "change",
    [
        {"board_size": 5},
        {"search_widths": (3, 1)},
        {"seed": 1},
        {"temperature": 0.5},
        {"value_weight": 0.5},
        {"searched": 0.9},
        {"opening": "policy"},
        {"opening": "empty"},
        {"swap": False},
    ],
    ids=str,
)
def test_every_setting_changes_the_games(change: dict[str, Any], device: torch.device) -> None:
    settings = SelfPlaySettings(4, (3, 2))
    games, others = (
        play(Hashed(2), some, range(12), device, games_in_flight=12)
        for some in (settings, dataclasses.replace(settings, **change))
    )
    assert [print_of(game) for game in games] != [print_of(game) for game in others]


def test_batches_are_as_large_as_the_mode_makes_them(device: torch.device) -> None:
    settings = SelfPlaySettings(5, (3, 2), swap=False)
    toys = [Hashed(2) for _ in range(4)]
    single, one, many, shared = toys
    play(single, settings, range(6), device, games_in_flight=6, batched=False)
    games = play(one, settings, range(6), device, games_in_flight=1)
    play(many, settings, range(6), device, games_in_flight=6)
    play(shared, settings, range(6), device, games_in_flight=6, workers=2)
    plies = [int(game.search.sum()) for game in games]
    assert {toy.rows for toy in toys[1:]} == {10 * sum(plies)}
    assert {toy.requests for toy in toys} == {one.requests}
    assert single.calls == single.rows == single.requests < one.rows
    assert one.calls == 3 * sum(plies)
    assert many.calls == 3 * max(plies)
    assert many.calls <= shared.calls <= one.calls
    assert (single.largest, one.largest, many.largest) == (1, 6, 36)


def test_a_lane_refills_its_slots_at_once_and_drops_those_left_over(device: torch.device) -> None:
    ids = GameIds(iter(range(10)))
    collector = PositionCollector(Hashed(2))
    batch = GameBatch(SelfPlaySettings(3, (2, 2)), collector, ids, 4, device, "toy")
    finished: list[int] = []
    while len(batch):
        assert len(batch) == min(4, 10 - len(finished))
        finished += [game.game_id for game in batch.step()]
    assert sorted(finished) == list(range(10))
    assert len(GameBatch(SelfPlaySettings(3), collector, ids, 4, device, "toy")) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_play_may_be_closed_early_and_no_games_are_no_error(
    workers: int, device: torch.device
) -> None:
    runner = Runner(
        Hashed(2), SelfPlaySettings(3), games_in_flight=4, workers=workers, device=device
    )
    assert [game for some in runner.play([]) for game in some] == []
    ids = itertools.count()
    playing = runner.play(ids)
    assert any(next(playing) for _ in range(200))
    playing.close()
    assert next(ids) < 2000
    toy = Hashed(2)
    assert play(toy, SelfPlaySettings(3), range(2), device, games_in_flight=9, workers=workers)


class Failing(Hashed):
    """Answers fifty calls."""

    def answer(self, positions: Positions) -> tuple[torch.Tensor, torch.Tensor]:
        if self.calls > 50:
            raise ArithmeticError("the fifty-first call")
        return super().answer(positions)


@pytest.mark.parametrize("mode", [{}, {"batched": False}, {"workers": 3}], ids=str)
def test_an_error_of_the_model_ends_the_play(mode: dict[str, Any], device: torch.device) -> None:
    runner = Runner(Failing(), SelfPlaySettings(5), games_in_flight=6, device=device, **mode)
    with pytest.raises(ArithmeticError, match="fifty-first"):
        list(runner.play(itertools.count()))


@pytest.mark.parametrize(
    "mode", [{"games_in_flight": 0}, {"workers": 0}, {"workers": 2, "batched": False}], ids=str
)
def test_modes_that_cannot_be_are_refused(mode: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        Runner(Uniform(), SelfPlaySettings(), **{"games_in_flight": 4} | mode)
