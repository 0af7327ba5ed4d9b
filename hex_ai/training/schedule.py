"""What a run of learning does when: settings, and schedules that follow from how far it is."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hex_ai.errors import SettingError
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.move_choice import POLICY_VALUE_WEIGHT
from hex_ai.numbers import settle, wholes
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.training.start import new_shape


@dataclass(frozen=True)
class PlaySearch:
    """How games are searched where nobody says otherwise: widths, and share of plies searched."""

    widths: tuple[int, ...]
    searched: float


# The search up to a board size. On the smallest boards the winning move is often one of few that
# the policy would never offer, and wide searches cost next to nothing. On large boards games are
# what is short: the policy plays most plies, so that the same time gives several times the games.
SEARCHES = {4: PlaySearch((9, 8), 1.0), 8: PlaySearch((4, 2), 1.0)}
LARGE_BOARD_SEARCH = PlaySearch((6, 2), 0.25)

_WHOLE = ("channels", "blocks", "games_per_round", "batch", "seed")

# Bounds that only a typing error leaves; torch can take no step at a higher learning rate.
MOST = {"games_per_round": 2**24, "batch": 2**20, "reuse": 1000, "learning_rate": 1e30}

# By this share of a run all board sizes have joined.
ALL_JOINED = 0.4

# The learning rate ends at this share of where it began.
LAST_RATE = 0.03


@dataclass(frozen=True)
class LearnSettings:
    """What decides a run of learning, besides its length and the network it may start from.

    Attributes:
      board_sizes: ascending; they join one after another, the small ones teach the large ones.
      search_widths: of the self-play search; None: by board size, see `default_search`.
      searched: share of plies that are searched; only these teach the policy. None: likewise.
      channels, blocks: of the network; None: as the one it starts from has, or `NEW_NETWORK`.
      games_per_round: played with one set of weights before the next is learnt.
      reuse: how often a new sample is learnt from, on average.
      batch: samples a step.
      learning_rate: at the start; falls along a cosine.
      seed: of weights, games and batches.
      overlap: whether each round is played while the one before it is learnt from, by weights that
        are one round older for it.
    """

    board_sizes: tuple[int, ...] = (5, 7, 9, 11)
    search_widths: tuple[int, ...] | None = None
    searched: float | None = None
    channels: int | None = None
    blocks: int | None = None
    games_per_round: int = 128
    reuse: float = 4.0
    batch: int = 128
    learning_rate: float = 3e-3
    seed: int = 0
    overlap: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "board_sizes", wholes("board sizes", self.board_sizes))
        if self.search_widths is not None:
            object.__setattr__(self, "search_widths", check_widths(self.search_widths))
        settle(self, _WHOLE, ("searched", "reuse", "learning_rate"))
        if not self.board_sizes or list(self.board_sizes) != sorted(set(self.board_sizes)):
            raise SettingError(f"board sizes {self.board_sizes} are not ascending")
        for size in self.board_sizes:
            self.play_settings(size)
        new_shape(self.channels, self.blocks)
        if not isinstance(self.overlap, bool):
            raise SettingError(f"overlap {self.overlap!r} is neither true nor false")
        for name in ("games_per_round", "batch"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} {getattr(self, name)} is not a whole number from 1 on")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise SettingError(f"{name} {getattr(self, name)} is more than {most}")
        for name in ("reuse", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingError(f"{name} {getattr(self, name)} is not a positive number")

    def play_settings(self, size: int) -> SelfPlaySettings:
        """How the games of one board size are played."""
        search = default_search(size)
        widths = search.widths if self.search_widths is None else self.search_widths
        searched = search.searched if self.searched is None else self.searched
        # With candidates drawn at temperature 1, this is to draw a move from the improved policy.
        weight = POLICY_VALUE_WEIGHT if searched < 1 else math.inf
        return SelfPlaySettings(
            size, widths, self.seed, searched, value_weight=weight, opening="scattered"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Length:
    """How long a run goes on: until it has so many games, or has run for so many seconds.

    At least one of the two is given. What has been run before a resume counts.
    """

    games: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.games is None and self.seconds is None:
            raise SettingError("a run of learning wants a number of games or of hours")
        settle(self, ("games",), ("seconds",))
        for value in (self.games, self.seconds):
            if value is not None and not 0 < value < math.inf:
                raise SettingError(f"{value} is no length of a run: it must be positive")

    def done(self, games: int, seconds: float) -> float:
        """How far a run is that has so many games and seconds behind it; 1 or more at the end."""
        shares = ((games, self.games), (seconds, self.seconds))
        return max(spent / whole for spent, whole in shares if whole is not None)


def default_search(size: int) -> PlaySearch:
    """How games of this board size are searched where nobody says otherwise."""
    fitting = (search for most, search in SEARCHES.items() if size <= most)
    return next(fitting, LARGE_BOARD_SEARCH)


def settings_of_run(notes: Mapping[str, Any]) -> tuple[LearnSettings, Length | None]:
    """How a run was begun, by its `learn.json`; the length only where that was noted.

    Raises:
      SettingError: what it says is invalid.
    """
    shape = {name: notes["network"]["config"][name] for name in ("channels", "blocks")}
    named = notes["settings"] | shape
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in named.items()
    }
    length = notes.get("length")
    try:
        return LearnSettings(**values), None if length is None else Length(**length)
    except TypeError as error:
        raise SettingError(f"the run's learn.json: {error}") from error


def learning_rate(settings: LearnSettings, done: float) -> float:
    """The rate after this share of the run."""
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))
    return settings.learning_rate * (LAST_RATE + (1 - LAST_RATE) * cosine)


def joined_sizes(settings: LearnSettings, done: float) -> tuple[int, ...]:
    """The board sizes that have joined after this share of the run: the first at once."""
    later = len(settings.board_sizes) - 1
    return settings.board_sizes[: 1 + min(later, int(done / ALL_JOINED * later))]


def next_size(joined: tuple[int, ...], shares: Mapping[int, float]) -> int:
    """The size whose turn it is: the one with the least share so far, of equals the smallest."""
    return min(joined, key=lambda size: (shares[size], size))
