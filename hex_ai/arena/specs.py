"""Players by name, as users write them; docs/match.md lists the names."""

import re
from dataclasses import dataclass
from pathlib import Path

from hex_ai.arena.foreign import HtpPlayer, OpenSpielPlayer
from hex_ai.arena.players import NetworkPlayer, Player, RandomPlayer, Strategy
from hex_ai.errors import SettingError
from hex_ai.formats.moves import SWAP_RULES
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.move_choice import MAX_TEMPERATURE
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.numbers import settle
from hex_ai.puct.levels import level

DEFAULT_WIDTHS = (3, 2)

# Of another engine, for a move: a week and a half.
MOST_SECONDS = 1_000_000

_MCTS = re.compile(r"mcts-([1-9][0-9]{0,8})")
_EVALUATIONS = re.compile(r"([1-9][0-9]{0,8})")
_SECONDS = re.compile(r"([0-9]{0,6}\.?[0-9]{0,6}(?<=[0-9]))s")
_LEVEL = re.compile(r"level([0-9]{1,3})")


@dataclass(frozen=True)
class PlayerOptions:
    """What holds for players of all kinds.

    Attributes:
      temperature: of the moves of networks; 0: the best move.
      seed: of whatever is drawn.
      move_seconds: time that another engine has for a move.
      device: of the networks.
      swap: what a swap is called where other engines are told of it, one of `SWAP_RULES`.
    """

    temperature: float = 0.0
    seed: int = 0
    move_seconds: float = 60.0
    device: str = "cpu"
    swap: str = "off"

    def __post_init__(self) -> None:
        settle(self, ("seed",), ("temperature", "move_seconds"))
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise SettingError(
                f"temperature {self.temperature} is not between 0 and {MAX_TEMPERATURE:g}"
            )
        if self.swap not in SWAP_RULES:
            raise SettingError(f"swap {self.swap!r} is not one of {', '.join(SWAP_RULES)}")
        if not 0 < self.move_seconds <= MOST_SECONDS:
            raise SettingError(
                f"{self.move_seconds:g} seconds a move are not above 0 and at most {MOST_SECONDS}"
            )


def make_player(name: str, options: PlayerOptions) -> Player:
    """The player of this name.

    Raises:
      SettingError: there is none.
      CheckpointError: a network that cannot be used; EngineError: an engine that cannot be started.
    """
    if name == "random":
        return RandomPlayer(name, options.seed)
    kind, _, rest = name.partition(":")
    if kind == "htp" and rest:
        return HtpPlayer(name, rest, options.move_seconds, options.swap)
    if kind == "openspiel":
        match = _MCTS.fullmatch(rest)
        if match is None:
            raise SettingError(f"player {name!r}: want openspiel:mcts-1000 or the like")
        return OpenSpielPlayer(name, int(match[1]), options.seed)
    return _network_player(name, options)


def _network_player(name: str, options: PlayerOptions) -> Player:
    source, at, strategy = name.rpartition("@")
    if not at or Path(name).is_file():
        source, strategy = name, ",".join(map(str, DEFAULT_WIDTHS))
    chosen = _strategy(name, strategy, options.temperature)
    network = load_checkpoint(source).network
    return NetworkPlayer(name, network, chosen, options.seed, options.device)


def _strategy(name: str, text: str, temperature: float) -> Strategy:
    """What stands after the `@`; the temperature is for those that draw, but levels have theirs."""
    if text == "policy":
        return Strategy(temperature=temperature)
    if match := _LEVEL.fullmatch(text):
        return Strategy(level=level(int(match[1])))
    if match := _EVALUATIONS.fullmatch(text):
        return Strategy(evaluations=int(match[1]))
    match = _SECONDS.fullmatch(text)
    if match and float(match[1]) > 0:
        return Strategy(seconds=float(match[1]))
    try:
        widths = check_widths(tuple(int(part) for part in text.split(",")))
        return Strategy(widths, temperature=temperature)
    except ValueError as error:
        raise SettingError(
            f"player {name!r}: {text!r} is none of '8,4', '400', '2s', 'level3', 'policy'"
        ) from error
