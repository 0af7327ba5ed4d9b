"""What a match came to: its games, their score, and what that says about strength."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hex_ai.arena.players import Player
from hex_ai.arena.rating import Sprt, elo, interval
from hex_ai.formats.trmph import write_trmph
from hex_ai.game.records import RED, SWAP

# What equal games have in common: the moves, up to a rotation by 180°, and who had Red.
Kind = tuple[tuple[int, ...], bool]


@dataclass(frozen=True)
class MatchGame:
    """One game of a match: board cells, who won it, how it ended, and whether the first player had
    Red."""

    number: int
    moves: tuple[int, ...]
    winner: int
    end: str
    first_is_red: bool

    @property
    def won(self) -> bool:
        """Whether the first player won."""
        return (self.winner == RED) == self.first_is_red


class Score:
    """What a match came to so far, as its first player sees it.

    Args:
      board_size: N.
      games: that have ended.
      players: who play, the first player first.
      asked: games of the whole match, 0 if that is not known.

    Attributes:
      games: that have ended; in the order of their numbers once the match is over.
      wins: games that the first player won.
      verdict: of the test that may have ended the match, see `Sprt.verdict`.
    """

    def __init__(
        self,
        board_size: int,
        games: Iterable[MatchGame] = (),
        players: Sequence[Player] = (),
        asked: int = 0,
    ) -> None:
        self.board_size, self.players, self.asked = board_size, players, asked
        self.games: list[MatchGame] = []
        self.wins, self.verdict = 0, 0
        self._kinds: set[Kind] = set()
        # What the test has seen: whether the first player won, by kind, of games up to a number.
        self._seen: dict[Kind, bool] = {}
        self._next = 0
        self._unseen: dict[int, MatchGame] = {}
        for game in games:
            self.add(game)

    @property
    def distinct(self) -> int:
        """Games that differ from all others in moves, up to a rotation by 180°, or colours."""
        return len(self._kinds)

    def add(self, game: MatchGame) -> None:
        """Counts a game that has ended."""
        self.games.append(game)
        self.wins += game.won
        self._kinds.add(self._kind(game))
        self._unseen[game.number] = game

    def judge(self, sprt: Sprt) -> bool:
        """Shows the test more games; whether it has decided, which ends the match.

        It sees games in the order of their numbers, opening by opening, and equal ones once: in the
        order in which they end, the short ones would count first.
        """
        while not self.verdict and {self._next, self._next + 1} <= self._unseen.keys():
            for number in (self._next, self._next + 1):
                game = self._unseen.pop(number)
                self._seen[self._kind(game)] = game.won
            self._next += 2
            self.verdict = sprt.verdict(sum(self._seen.values()), len(self._seen))
        return self.verdict != 0

    def final(self) -> "Score":
        """The score of the games up to the test's decision, in the order of their numbers."""
        games = sorted(self.games, key=lambda game: game.number)
        counted = (game for game in games if not self.verdict or game.number < self._next)
        score = Score(self.board_size, counted, self.players, self.asked)
        score.verdict = self.verdict
        return score

    def line(self) -> str:
        """One line: wins, their share and the Elo difference, both with 95 % intervals.

        Equal games count once for the width of the intervals.
        """
        played = len(self.games)
        share = self.wins / max(played, 1)
        low, high = interval(share * self.distinct, self.distinct)
        if 0 < self.wins < played:
            lead = f"{elo(share):+.0f} ({elo(low):+.0f} to {elo(high):+.0f})"
        else:  # no finite lead explains it best
            lead = f"above {elo(low):+.0f}" if self.wins else f"below {elo(high):+.0f}"
        return f"{self.wins} of {played} won, {share:.1%} ({low:.1%} to {high:.1%}), Elo {lead}"

    def trmph(self) -> str:
        """The games as lines of TRMPH, in the order of their numbers."""
        games = sorted(self.games, key=lambda game: game.number)
        return "".join(
            write_trmph(self.board_size, game.moves, game.winner, game.end) + "\n" for game in games
        )

    def _kind(self, game: MatchGame) -> Kind:
        last = self.board_size**2 - 1
        rotated = tuple(cell if cell == SWAP else last - cell for cell in game.moves)
        return min(game.moves, rotated), game.first_is_red
