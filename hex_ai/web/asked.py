"""What a page asks, from JSON that anybody may have written: checked here, once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hex_ai.errors import SettingError
from hex_ai.game.records import BLUE, MAX_SIZE, RED
from hex_ai.htp.board import Board
from hex_ai.puct.levels import LEVELS

# What one visitor may ask for.
MAX_SECONDS = 60.0
MAX_EVALUATIONS = 20_000
MAX_POSITIONS = 400
MAX_TEXT = 2**18

_MOST = {"evaluations": MAX_EVALUATIONS, "seconds": MAX_SECONDS, "level": len(LEVELS)}

_STONES = {".": 0, "R": RED, "B": BLUE}
_COLOURS = {"red": RED, "blue": BLUE}
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Budget:
    """How long to think: exactly one of the three is not None.

    Attributes:
      evaluations: positions to ask the network about.
      seconds: of thinking.
      level: of play, 1 to 10.
    """

    evaluations: int | None = None
    seconds: float | None = None
    level: int | None = None


def read_json(body: bytes) -> Mapping[str, Any]:
    """The object of a request's body. Raises `SettingError` where it holds another thing."""
    try:
        data = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SettingError("the body is not JSON") from error
    found: Mapping[str, Any] = _of_kind(data, dict, "the body")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _of_kind(value: object, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise SettingError(f"{name} is not {_KINDS[kind]}")
    return value


def part(data: Mapping[str, Any], name: str, kind: type) -> Any:
    """A part of an object, of this kind. Raises `SettingError`."""
    if name not in data:
        raise SettingError(f"{name} is missing")
    return _of_kind(data[name], kind, name)


def board_of(data: object, name: str = "position") -> Board:
    """The board of a position as the page sends it.

    Raises:
      SettingError: it is none.
    """
    position = _of_kind(data, dict, name)
    size = position.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_SIZE:
        raise SettingError(f"{name}: size is not a whole number from 1 to {MAX_SIZE}")
    text, turn = (_of_kind(position.get(key), str, f"{name}: {key}") for key in ("stones", "turn"))
    if len(text) != size**2 or set(text) - _STONES.keys():
        raise SettingError(f"{name}: stones are not {size**2} of '.', 'R' and 'B'")
    if turn not in _COLOURS:
        raise SettingError(f"{name}: turn is neither 'red' nor 'blue'")
    may_swap = _of_kind(position.get("swap", False), bool, f"{name}: swap")
    stones = tuple(_STONES[stone] for stone in text)
    return Board(size, stones, _COLOURS[turn], swapped=not may_swap)


def open_board(data: Mapping[str, Any]) -> Board:
    """The board of a request, whose game is not over. Raises `SettingError`."""
    board = board_of(data.get("position"))
    if board.winner:
        raise SettingError("position: the game is over")
    return board


def boards_of(data: Mapping[str, Any]) -> list[Board]:
    """The boards of a sweep, all of one size. Raises `SettingError`."""
    positions = part(data, "positions", list)
    if not 1 <= len(positions) <= MAX_POSITIONS:
        raise SettingError(f"{len(positions)} positions are outside 1 to {MAX_POSITIONS}")
    boards = [board_of(item, f"position {number}") for number, item in enumerate(positions)]
    if len({board.size for board in boards}) > 1:
        raise SettingError("the positions are of several sizes")
    return boards


def budget_of(data: Mapping[str, Any]) -> Budget:
    """How long to think about a request. Raises `SettingError`."""
    given = {name: data[name] for name in _MOST if data.get(name) is not None}
    if len(given) != 1:
        raise SettingError("want one of evaluations, seconds and level")
    ((name, value),) = given.items()
    kinds = int | float if name == "seconds" else int
    if not isinstance(value, kinds) or isinstance(value, bool) or value != value:
        raise SettingError(f"{name} is not a {'' if name == 'seconds' else 'whole '}number")
    least, most = (0 if name == "seconds" else 1), _MOST[name]
    if not least <= value <= most or not value:
        raise SettingError(f"{name} {str(value)[:20]} is outside {least} to {most:g}")
    wanted: dict[str, Any] = {name: float(value) if name == "seconds" else value}
    return Budget(**wanted)
