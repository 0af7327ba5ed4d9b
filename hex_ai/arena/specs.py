"""Players by name, as users write them:

random                    any legal move
openspiel:mcts-1000       OpenSpiel's tree search with so many playouts a move
htp:COMMAND               an engine that speaks HTP
NETWORK                   a checkpoint, or `shipped`, with the search widths 3,2
NETWORK@8,4               with these widths
NETWORK@policy            its policy alone
"""

import re
from dataclasses import dataclass
from pathlib import Path

from hex_ai.arena.foreign import HtpPlayer, OpenSpielPlayer
from hex_ai.arena.players import NetworkPlayer, Player, RandomPlayer, Way
from hex_ai.errors import SettingError
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.move_choice import MAX_TEMPERATURE
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
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
    """

    temperature: float = 0.0
    seed: int = 0
    move_seconds: float = 60.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise SettingError(
                f"temperature {self.temperature} is not between 0 and {MAX_TEMPERATURE:g}"
            )
        if not 0 < self.move_seconds <= MOST_SECONDS:
            raise SettingError(
                f"{self.move_seconds:g} seconds a move are not above 0 and at most {MOST_SECONDS}"
            )


def make_player(text: str, options: PlayerOptions) -> Player:
    """The player that `text` names; see the module's docstring.

    Raises:
      SettingError: it names none.
      CheckpointError: a network that cannot be used; EngineError: an engine that cannot be started.
    """
    if text == "random":
        return RandomPlayer(text, options.seed)
    kind, _, rest = text.partition(":")
    if kind == "htp" and rest:
        return HtpPlayer(text, rest, options.move_seconds)
    if kind == "openspiel":
        match = _MCTS.fullmatch(rest)
        if match is None:
            raise SettingError(f"player {text!r}: want openspiel:mcts-1000 or the like")
        return OpenSpielPlayer(text, int(match[1]), options.seed)
    return _network_player(text, options)


def _network_player(text: str, options: PlayerOptions) -> Player:
    name, at, way = text.rpartition("@")
    if not at or Path(text).is_file():
        name, way = text, ",".join(map(str, DEFAULT_WIDTHS))
    path = default_model_path() if name == "shipped" else Path(name)
    chosen = _way(text, way, options.temperature)
    return NetworkPlayer(text, load_checkpoint(path).network, chosen, options.seed, options.device)


def _way(text: str, way: str, temperature: float) -> Way:
    """How a network chooses; the temperature is for those that draw, but levels have their own."""
    if way == "policy":
        return Way(temperature=temperature)
    if match := _LEVEL.fullmatch(way):
        return Way(level=level(int(match[1])))
    if match := _EVALUATIONS.fullmatch(way):
        return Way(evaluations=int(match[1]))
    match = _SECONDS.fullmatch(way)
    if match and float(match[1]) > 0:
        return Way(seconds=float(match[1]))
    try:
        widths = check_widths(tuple(int(part) for part in way.split(",")))
        return Way(widths, temperature=temperature)
    except ValueError as error:
        raise SettingError(
            f"player {text!r}: {way!r} is none of '8,4', '400', '2s', 'level3', 'policy'"
        ) from error
