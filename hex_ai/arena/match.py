"""Matches: many games in lockstep, every opening played twice, once with each colour."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from hex_ai.arena.openings import match_openings
from hex_ai.arena.players import NO_MOVE, SWAPS, Player, Turn
from hex_ai.arena.rating import Sprt
from hex_ai.arena.score import MatchGame, Score
from hex_ai.arena.specs import PlayerOptions, make_player
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.game.records import SWAP
from hex_ai.inference.inference_plan import resolve_device
from hex_ai.numbers import whole
from hex_ai.store.output_files import keep_lines, require_writable, write_text


def match(
    first: Player | str,
    second: Player | str,
    *,
    board_size: int = 11,
    games: int | None = None,
    openings: str = "spread",
    temperature: float = 0.0,
    sprt: tuple[float, float] | None = None,
    swap: str = "off",
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
      games: an even number, two of each opening; by default 200, or two of each opening of a suite.
      openings: `spread` over the board; `fair`: single stones, nearest to even by a search of the
        shipped network; `balanced`: pairs of stones, the suite that is shipped for 9×9, 11×11 and
        13×13; or the path of a file of openings, see docs/match.md.
      temperature: of the networks' moves.
      sprt: ends the match once it is decided between these two Elo leads of the first player.
      swap: `off`, or the rule by which Blue may swap an opening of one stone: `pieces`, `sides` or
        `benzene`. They differ in what other engines are told, not in the games.
      seed: of openings and moves.
      games_in_flight: played side by side. Changes speed, not games.
      move_seconds: of other engines, for a move; more loses the game.
      device: of the networks: `auto`, `cpu` or `cuda`.
      save: file to write the games to, in TRMPH, as they end; in the end, in the order of the
        openings. A pipe is told all games at the end.
      report: is told the score, which goes on to change, whenever games have ended.

    Raises:
      SettingError: an invalid setting, name of a player, or file of openings.
      HexAIError: a player that cannot be started, fails, or gives a move that is not legal.
    """
    board_size, seed = whole("board size", board_size), whole("seed", seed)
    games = None if games is None else whole("games", games)
    games_in_flight = whole("games in flight", games_in_flight)
    if games_in_flight < 1:
        raise SettingError(f"games in flight {games_in_flight} is not 1 or more")
    pairs = match_openings(openings, board_size, games, seed=seed, device=device)
    test = None if sprt is None else Sprt(*sprt)
    options = PlayerOptions(temperature, seed, move_seconds, str(resolve_device(device)), swap)
    file = None if save is None else Path(save)
    if file is not None:
        require_writable(file)
    with _players(first, second, options) as players:
        score = Score(board_size, players=players, asked=2 * len(pairs))
        try:
            under_way = _RunningGames(board_size, swap != "off")
            for ended in _ended_games(*players, under_way, pairs, games_in_flight):
                for game in ended:
                    score.add(game)
                if file is not None:
                    lines = Score(board_size, ended).trmph()
                    keep_lines(file, lines, first=len(score.games) == len(ended))
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


def _ended_games(
    first: Player,
    second: Player,
    under_way: "_RunningGames",
    openings: list[tuple[int, ...]],
    in_flight: int,
) -> Iterator[list[MatchGame]]:
    """Plays a match, and yields games whenever some have ended."""
    # The two games of an opening stand side by side, so that every part of a match is fair.
    numbers = iter(range(2 * len(openings)))
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

    def __init__(self, size: int, swaps: bool) -> None:
        self._swaps = swaps
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
        may_swap = torch.tensor([self._swaps and len(game.moves) == 1 for game in games])
        moves = player.choose(Turn(asked, ids, [game.moves for game in games], may_swap))
        resigns, swaps = moves == NO_MOVE, may_swap & (moves == SWAPS)
        plays = ~resigns & ~swaps
        asked[plays].require_legal(moves[plays])
        for game, cell in zip(games, asked.to_board_cells(moves).tolist(), strict=True):
            if cell == NO_MOVE:
                game.resigned = True
            else:
                game.moves.append(SWAP if cell == SWAPS else cell)
        after = Positions.where(swaps, asked.swap(swaps), asked.play(moves.clamp(min=0)))
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
