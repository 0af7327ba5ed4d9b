"""Matches: many games in lockstep, every opening played twice, once with each colour."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from hex_ai.arena.players import NO_MOVE, Player, Turn
from hex_ai.arena.rating import Sprt
from hex_ai.arena.score import MatchGame, Score
from hex_ai.arena.specs import PlayerOptions, make_player
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.game.records import MIN_SIZE
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import Evaluator, PositionCollector
from hex_ai.keyed_random import Stream, random_bits
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.store.run_folder import require_writable, write_text


def match(
    first: Player | str,
    second: Player | str,
    *,
    board_size: int = 11,
    games: int = 200,
    openings: str = "spread",
    temperature: float = 0.0,
    sprt: tuple[float, float] | None = None,
    seed: int = 0,
    games_in_flight: int = 256,
    move_seconds: float = 60.0,
    device: str = "auto",
    save: Path | str | None = None,
    report: Callable[[Score], None] = lambda _: None,
) -> Score:
    """Lets two players play a match: every opening twice, once with each colour.

    Args:
      first, second: players, or what names them, see docs/match.md. Those that are given as
        players are not closed.
      board_size: N, 3 to 19.
      games: an even number, two of each opening.
      openings: `spread` over the board, or `fair`: nearest to even by a search of the shipped
        network.
      temperature: of the networks' moves.
      sprt: ends the match once it is decided between these two Elo leads of the first player.
      seed: of openings and moves.
      games_in_flight: played side by side. Changes speed, not games.
      move_seconds: of other engines, for a move; more loses the game.
      device: of the networks: `auto`, `cpu` or `cuda`.
      save: file to write the games to, in TRMPH, also if the match breaks off.
      report: is told the score, which goes on to change, whenever games have ended.

    Raises:
      SettingError: an invalid setting or name of a player.
      HexAIError: a player that cannot be started, fails, or gives a move that is not legal.
    """
    _require_playable(board_size, games, games_in_flight)
    test = None if sprt is None else Sprt(*sprt)
    options = PlayerOptions(temperature, seed, move_seconds, resolve_device(device).type)
    pairs = _openings(openings, board_size, games // 2, seed, options.device)
    file = None if save is None else Path(save)
    if file is not None:
        require_writable(file)
    with _players(first, second, options) as players:
        score = Score(board_size, players=players)
        try:
            for ended in _ended_games(*players, board_size, pairs, games_in_flight):
                for game in ended:
                    score.add(game)
                report(score)
                if test and score.judge(test):
                    break
        finally:
            if file is not None and score.games:
                write_text(file, score.trmph())
    return score.final()


@contextmanager
def _players(
    first: Player | str, second: Player | str, options: PlayerOptions
) -> Iterator[tuple[Player, Player]]:
    """The players, made where they are named; those that it made are closed at the end."""
    with ExitStack() as to_close:

        def player(given: Player | str, seed: int) -> Player:
            if not isinstance(given, str):
                return given
            made = make_player(given, replace(options, seed=seed))
            return to_close.enter_context(closing(made))

        # Other draws for each, or a network that meets itself would play the same games twice.
        yield player(first, 2 * options.seed), player(second, 2 * options.seed + 1)


def _require_playable(board_size: int, games: int, games_in_flight: int) -> None:
    """Raises `SettingError` for a match that is impossible."""
    Positions.empty(0, board_size)
    moves = board_size**2
    if board_size < MIN_SIZE:
        raise SettingError(f"board size {board_size} is below {MIN_SIZE}")
    if games < 2 or games % 2:
        raise SettingError(f"{games} games: want an even number, two of each opening")
    if games_in_flight < 1:
        raise SettingError(f"games in flight {games_in_flight} is not 1 or more")
    if games > 2 * moves + moves * (moves - 1):
        raise SettingError(f"{games} games: there are not so many openings")


def _openings(kind: str, size: int, count: int, seed: int, device: str) -> list[tuple[int, ...]]:
    if kind == "spread":
        return spread_openings(size, count, seed)
    if kind != "fair":
        raise SettingError(f"openings {kind!r} is neither 'spread' nor 'fair'")
    network = load_checkpoint(default_model_path()).network
    judge = ModelInference(network, default_plan(torch.device(device), runtime="eager"))
    cells = [(cell,) for cell in fair_cells(size, judge, judge.device)]
    return _with_pairs(cells, size, count, seed)


def spread_openings(size: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """So many openings, board cells, no two alike.

    Single cells, each before its rotation by 180°, which is the same opening to whoever plays by
    the position alone; spread over the board if not all are wanted. Then pairs of cells, drawn by
    the seed.
    """
    last, half = size**2 - 1, (size**2 + 1) // 2
    cells = torch.linspace(0, half - 1, min(count, half)).round().long().tolist()
    return _with_pairs(
        [(cell,) for cell in (*cells, *(last - c for c in cells))], size, count, seed
    )


def _with_pairs(
    cells: Iterable[tuple[int, ...]], size: int, count: int, seed: int
) -> list[tuple[int, ...]]:
    """The first `count` of these openings, without repeats, and pairs of cells for what lacks."""
    found, moves, draw = dict.fromkeys(cells), size**2, 0
    while len(found) < count:
        bits = random_bits(seed, torch.tensor([Stream.MATCH_OPENING]), torch.tensor([draw]))
        one, other = divmod(int(bits.remainder(moves * moves)), moves)
        if one != other:
            found.setdefault((one, other))
        draw += 1
    return list(found)[:count]


def fair_cells(size: int, evaluator: Evaluator, device: torch.device) -> tuple[int, ...]:
    """All opening cells of a board, the fairest first: those whose value is nearest 0.

    A cell and its rotation by 180° are the same opening, and share the mean of their values. So the
    half of the board comes first, then its rotation.

    Args:
      size: N.
      evaluator: judges, by a search of widths (8, 4).
      device: where it wants positions.
    """
    cells = torch.arange(size**2, device=device)
    opened = Positions.empty(size**2, size, device).play(cells)
    tree = build_search_tree_with_collection(opened, (8, 4), 0.0, PositionCollector(evaluator))
    evaluator.check()
    unfair = (tree.values + tree.values.flip(0)).abs()
    best = unfair[: (size**2 + 1) // 2].argsort(stable=True).tolist()
    return tuple(dict.fromkeys((*best, *(size**2 - 1 - cell for cell in best))))


def _ended_games(
    first: Player, second: Player, size: int, openings: list[tuple[int, ...]], in_flight: int
) -> Iterator[list[MatchGame]]:
    """Plays a match, and yields games whenever some have ended."""
    # The two games of an opening stand side by side, so that every part of a match is fair.
    numbers = iter(range(2 * len(openings)))
    under_way = _RunningGames(size)
    while True:
        for number in islice(numbers, in_flight - len(under_way)):
            under_way.start(number, openings[number // 2])
        if not len(under_way):
            return
        under_way.step(first, is_first=True)
        under_way.step(second, is_first=False)
        if ended := under_way.take_finished():
            yield ended


@dataclass
class _RunningGame:
    number: int
    moves: list[int]
    resigned: bool = False

    @property
    def first_is_red(self) -> bool:
        return self.number % 2 == 0


class _RunningGames:
    """The games under way, and their positions, a row each."""

    def __init__(self, size: int) -> None:
        self._positions = Positions.empty(0, size)
        self._games: list[_RunningGame] = []

    def __len__(self) -> int:
        return len(self._games)

    def start(self, number: int, opening: tuple[int, ...]) -> None:
        fresh = Positions.empty(1, self._positions.size)
        for cell in opening:
            fresh = fresh.play(fresh.to_board_cells(torch.tensor([cell])))
        self._positions = Positions.cat([self._positions, fresh])
        self._games.append(_RunningGame(number, list(opening)))

    def step(self, player: Player, is_first: bool) -> None:
        """Lets a player move in all games in which it is its turn."""
        plays_red = torch.tensor([game.first_is_red == is_first for game in self._games])
        to_move = (self._positions.blue_to_move != plays_red) & ~self._positions.finished
        rows = to_move.nonzero()[:, 0]
        if not len(rows):
            return
        asked, games = self._positions[rows], [self._games[row] for row in rows.tolist()]
        ids = torch.tensor([game.number for game in games])
        moves = player.choose(Turn(asked, ids, [game.moves for game in games]))
        resigns = moves == NO_MOVE
        asked[~resigns].require_legal(moves[~resigns])
        for game, cell in zip(games, asked.to_board_cells(moves).tolist(), strict=True):
            if cell == NO_MOVE:
                game.resigned = True
            else:
                game.moves.append(cell)
        after = asked.play(moves.clamp(min=0))
        # Who gives up is the mover of a finished position, as one who has been joined against is.
        after = Positions.where(resigns, asked.retire(resigns), after)
        self._positions = self._positions.put(rows, after)

    def take_finished(self) -> list[MatchGame]:
        """The games that have ended, which are then no longer under way."""
        finished = self._positions.finished
        winners = self._positions.winner().tolist()
        ended = [
            MatchGame(
                game.number,
                tuple(game.moves),
                winner,
                "resign" if game.resigned else "join",
                game.first_is_red,
            )
            for game, winner, done in zip(self._games, winners, finished.tolist(), strict=True)
            if done
        ]
        stay = (~finished).nonzero()[:, 0]
        self._positions = self._positions[stay]
        self._games = [self._games[row] for row in stay.tolist()]
        return ended
