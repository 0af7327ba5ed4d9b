"""Matches: many games in lockstep, every opening played twice, once with each colour."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from hex_ai.arena.players import NO_MOVE, Player, Turn
from hex_ai.arena.rating import Sprt, elo, interval
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.game.records import MIN_SIZE, RED
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.position_collector import Evaluator, PositionCollector
from hex_ai.keyed_random import Stream, random_bits

# What games have in common that are the same: the moves, up to a turn, and who had Red.
Kind = tuple[tuple[int, ...], bool]


@dataclass(frozen=True)
class MatchSettings:
    """How a match is played. There is no swap: who is ahead in an opening plays it from both sides.

    Attributes:
      board_size: N.
      games: an even number, two of each opening.
      games_in_flight: played side by side.
      seed: of the openings.
      cells: opening cells to use, in this order; none: cells spread over the board.
      sprt: hypotheses between which the match is decided early, or None to play all games.
    """

    board_size: int = 11
    games: int = 200
    games_in_flight: int = 256
    seed: int = 0
    cells: tuple[int, ...] = ()
    sprt: Sprt | None = None

    def __post_init__(self) -> None:
        Positions.empty(0, self.board_size)
        if self.board_size < MIN_SIZE:
            raise SettingError(f"board size {self.board_size} is below {MIN_SIZE}")
        if self.games < 2 or self.games % 2:
            raise SettingError(f"{self.games} games: want an even number, two of each opening")
        if self.games_in_flight < 1:
            raise SettingError(f"games in flight {self.games_in_flight} is not 1 or more")
        if self.games > 2 * _most_openings(self.board_size):
            raise SettingError(f"{self.games} games: there are not so many openings")


@dataclass(frozen=True)
class MatchGame:
    """One game of a match: board cells, who won it, how it ended, and whether the first side had
    Red."""

    number: int
    moves: tuple[int, ...]
    winner: int
    end: str
    first_is_red: bool

    @property
    def won(self) -> bool:
        """Whether the first side won."""
        return (self.winner == RED) == self.first_is_red


class Score:
    """What a match came to so far, seen by the first side.

    Args:
      board_size: N.
      games: that have ended.

    Attributes:
      games: that have ended; in the order of their numbers once the match is over.
      wins: games that the first side won.
      verdict: of the test that may have ended the match, see `Sprt.verdict`.
    """

    def __init__(self, board_size: int, games: Iterable[MatchGame] = ()) -> None:
        self.board_size = board_size
        self.games: list[MatchGame] = []
        self.wins, self.verdict = 0, 0
        self._kinds: set[Kind] = set()
        # What the test has seen: whether the first side won, by kind, of the games up to a number.
        self._seen: dict[Kind, bool] = {}
        self._next = 0
        self._unseen: dict[int, MatchGame] = {}
        for game in games:
            self.add(game)

    @property
    def distinct(self) -> int:
        """Games that are unlike all others: another course, also turned by 180°, or colours."""
        return len(self._kinds)

    def add(self, game: MatchGame) -> None:
        """Counts a game that has ended."""
        self.games.append(game)
        self.wins += game.won
        self._kinds.add(self._kind(game))
        self._unseen[game.number] = game

    def judge(self, sprt: Sprt) -> bool:
        """Lets the test see more games; whether it has decided, which ends the match.

        It sees games in the order of their numbers, opening by opening, and those that are the same
        once: in the order in which they end, the short ones would have the first say.
        """
        while not self.verdict and {self._next, self._next + 1} <= self._unseen.keys():
            for number in (self._next, self._next + 1):
                game = self._unseen.pop(number)
                self._seen[self._kind(game)] = game.won
            self._next += 2
            self.verdict = sprt.verdict(sum(self._seen.values()), len(self._seen))
        return self.verdict != 0

    def settled(self) -> "Score":
        """The score that counts: games in the order of their numbers, and none beyond the test's
        decision."""
        games = sorted(self.games, key=lambda game: game.number)
        score = Score(
            self.board_size, [g for g in games if not self.verdict or g.number < self._next]
        )
        score.verdict = self.verdict
        return score

    def _kind(self, game: MatchGame) -> Kind:
        return _turned_low(game.moves, self.board_size), game.first_is_red

    def line(self) -> str:
        """One line: wins, their share and the Elo difference, both with 95 % intervals.

        Games that are the same count once for the width of the intervals.
        """
        played = len(self.games)
        share = self.wins / max(played, 1)
        low, high = interval(share * self.distinct, self.distinct)
        if 0 < self.wins < played:
            lead = f"{elo(share):+.0f} ({elo(low):+.0f} to {elo(high):+.0f})"
        else:  # no finite lead explains it best
            lead = f"above {elo(low):+.0f}" if self.wins else f"below {elo(high):+.0f}"
        return f"{self.wins} of {played} won, {share:.1%} ({low:.1%} to {high:.1%}), Elo {lead}"


def openings(settings: MatchSettings) -> list[tuple[int, ...]]:
    """The first plies of the match's pairs of games, board cells; no two alike.

    Single cells, each before its 180° turn, which is the same opening to whoever plays by the
    position alone; spread over the board if not all are wanted. Then pairs of cells, by the seed.
    """
    wanted, moves = settings.games // 2, settings.board_size**2
    found: dict[tuple[int, ...], None] = dict.fromkeys((cell,) for cell in settings.cells)
    if not found:
        half = (moves + 1) // 2
        spread = torch.linspace(0, half - 1, min(wanted, half)).round().long().tolist()
        found.update(dict.fromkeys((cell,) for cell in spread))
        found.update(dict.fromkeys((moves - 1 - cell,) for cell in spread))
    draw = 0
    while len(found) < wanted:
        bits = random_bits(
            settings.seed, torch.tensor([Stream.MATCH_OPENING]), torch.tensor([draw])
        )
        one, other = divmod(int(bits.remainder(moves * moves)), moves)
        if one != other:
            found.setdefault((one, other))
        draw += 1
    return list(found)[:wanted]


def fair_cells(size: int, evaluator: Evaluator, device: torch.device) -> tuple[int, ...]:
    """All opening cells of a board, the fairest first: those whose value is nearest 0.

    A cell and its 180° turn are the same opening, and share the mean of their values. So the half
    of the board comes first, then its turns.

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


def play_match(
    first: Player,
    second: Player,
    settings: MatchSettings,
    report: Callable[[Score], None] = lambda _: None,
) -> Score:
    """Plays until all games are over, or the test has decided.

    Args:
      first, second: who play.
      settings: see `MatchSettings`.
      report: is told the score whenever games have ended.

    Raises:
      HexAIError: a player that fails or gives a move that is not legal.
    """
    score = Score(settings.board_size)
    suite = openings(settings)
    # The two games of an opening stand side by side, so that every part of a match is fair.
    numbers = iter(range(2 * len(suite)))
    under_way = _Games(settings.board_size)
    while True:
        room = settings.games_in_flight - len(under_way)
        for number in islice(numbers, room):
            under_way.start(number, suite[number // 2], first_is_red=number % 2 == 0)
        if not len(under_way):
            return score.settled()
        for player, is_first in ((first, True), (second, False)):
            under_way.step(player, is_first)
        ended = list(under_way.take_finished())
        for game in ended:
            score.add(game)
        if ended:
            report(score)
        if settings.sprt and score.judge(settings.sprt):
            return score.settled()


class _Games:
    """The games under way."""

    def __init__(self, size: int) -> None:
        self._positions = Positions.empty(0, size)
        self._numbers: list[int] = []
        self._moves: list[list[int]] = []
        self._first_is_red = torch.zeros(0, dtype=torch.bool)
        self._resigned = torch.zeros(0, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._numbers)

    def start(self, number: int, opening: tuple[int, ...], first_is_red: bool) -> None:
        fresh = Positions.empty(1, self._positions.size)
        for cell in opening:
            fresh = fresh.play(fresh.to_board_cells(torch.tensor([cell])))
        self._positions = Positions.cat([self._positions, fresh])
        self._numbers.append(number)
        self._moves.append(list(opening))
        self._first_is_red = torch.cat((self._first_is_red, torch.tensor([first_is_red])))
        self._resigned = torch.cat((self._resigned, torch.tensor([False])))

    def step(self, player: Player, is_first: bool) -> None:
        """Lets a player move in all games in which it is its turn."""
        its_colour_is_red = self._first_is_red == is_first
        turn = (self._positions.blue_to_move != its_colour_is_red) & ~self._positions.finished
        rows = turn.nonzero()[:, 0]
        if not len(rows):
            return
        asked = self._positions[rows]
        ids = torch.tensor([self._numbers[row] for row in rows.tolist()])
        moves = player.choose(Turn(asked, ids, [self._moves[row] for row in rows.tolist()]))
        resigns = moves == NO_MOVE
        plays = ~resigns
        asked[plays].require_legal(moves[plays])
        for row, cell in zip(rows.tolist(), asked.to_board_cells(moves).tolist(), strict=True):
            if cell != NO_MOVE:
                self._moves[row].append(cell)
        after = asked.play(moves.clamp(min=0))
        # Who gives up is the mover of a finished position, as one who has been joined against is.
        after = Positions.where(resigns, asked.retire(resigns), after)
        self._positions = self._positions.put(rows, after)
        self._resigned[rows] = resigns

    def take_finished(self) -> Iterator[MatchGame]:
        """Hands out the games that have ended, and forgets them."""
        winners: Tensor = self._positions.winner()
        for row in self._positions.finished.nonzero()[:, 0].tolist():
            yield MatchGame(
                self._numbers[row],
                tuple(self._moves[row]),
                int(winners[row]),
                "resign" if self._resigned[row] else "join",
                bool(self._first_is_red[row]),
            )
        stay = (~self._positions.finished).nonzero()[:, 0]
        self._positions = self._positions[stay]
        self._numbers = [self._numbers[row] for row in stay.tolist()]
        self._moves = [self._moves[row] for row in stay.tolist()]
        self._first_is_red, self._resigned = self._first_is_red[stay], self._resigned[stay]


def _most_openings(size: int) -> int:
    return size**2 + size**2 * (size**2 - 1) // 2


def _turned_low(moves: tuple[int, ...], size: int) -> tuple[int, ...]:
    """A game or its 180° turn, whichever comes first."""
    return min(moves, tuple(size * size - 1 - cell for cell in moves))
