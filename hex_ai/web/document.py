"""A game in one HTML file, to click through without a server, a network or a second file."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from hex_ai.errors import NotationError, RecordError, SettingError
from hex_ai.formats.games import find_record, find_view, view_of_record
from hex_ai.formats.moves import Stones
from hex_ai.formats.text import board_text
from hex_ai.formats.views import GameView
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, NO_CELL, RED, RESIGN, GameRecord
from hex_ai.store.run_folder import read_games
from hex_ai.web.modules import joined_modules

_FOLDER = Path(__file__).parent
_VIEWER = _FOLDER / "viewer"

# What is less likely by the improved policy would fill the board and say little.
_LEAST_POLICY = 0.01

# Space around the signs of a style sheet that needs none.
_SPACE = re.compile(r"\s*([{};,])\s*")

_MARKS = {
    "labels": "label",
    "crosses": "cross",
    "circles": "circle",
    "triangles": "triangle",
    "squares": "square",
    "selected": "selected",
}
_MARK = re.compile(r"(?:^|, )([a-z]{1,2}[0-9]{1,2})(?: (.*?))?(?=, [a-z]{1,2}[0-9]|$)", re.DOTALL)


def run_documents(folder: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Id and document of each game of a run, in game-id order.

    Raises:
      StoreError: no run there, or a shard that cannot be read.
      IllegalMoveError: a game with a move that is not legal; RecordError: as `game_document`.
    """
    for record in read_games(folder):
        yield record.game_id, game_document(view_of_record(record, folder), record)


def document_of(
    source: str, game_id: int = 0, ply: int | None = None, *, winner_from_board: bool = False
) -> str:
    """The document of the game that a user names.

    Args:
      source: and the others, as for `board_at`; `ply` is the board that the document opens with.

    Raises:
      NotationError, SettingError, StoreError: as `board_at`; RecordError: as `game_document`.
    """
    if os.path.isdir(source):
        record = find_record(source, game_id)
        return game_document(view_of_record(record, source), record, ply)
    view = find_view(source, game_id, winner_from_board=winner_from_board)
    return game_document(view, ply=ply)


def game_document(view: GameView, record: GameRecord | None = None, ply: int | None = None) -> str:
    """One HTML document that asks for nothing: it runs from a file, and in a sandboxed frame.

    Args:
      view: the game.
      record: what the search saw at each ply of it, if it was searched.
      ply: the step to open with, counted from 0 for the start; None: the last.

    Raises:
      SettingError: no such step; RecordError: a number of the search that is not finite.
    """
    steps = _steps(view)
    last = len(steps) - 1
    picture = board_text(view.board(last).position).plain
    if ply is not None and not 0 <= ply <= last:
        raise SettingError(f"ply {ply} is outside 0 to {last}")
    if record is not None:
        for number, step in enumerate(steps):
            step |= _searched(record, number)
    data = {
        "size": view.board_size,
        "result": view.end(),
        "notes": list(view.faults()),
        "start": last if ply is None else ply,
        "steps": steps,
    }
    return _filled(_title(view, record), _facts(view, record), data, picture)


def _filled(title: str, facts: str, data: dict[str, Any], picture: str) -> str:
    """The document; `picture` is the last board as text, for where scripts do not run."""
    script, style = _script(), _style()
    moves = [_name(step["what"], data["size"]) for step in data["steps"][1:]]
    document = Template((_VIEWER / "viewer.html").read_text(encoding="utf-8").rstrip()).substitute(
        script_hash=_hash(script),
        style_hash=_hash(style),
        title=escape(title),
        facts=escape(facts),
        notes=escape(". ".join(data["notes"])),
        moves=escape(" ".join(moves)),
        picture=escape(picture),
        data=_embedded(data),
        style=style,
        script=script,
    )
    # Names that were no text come with characters that no file can hold.
    return document.encode("utf-8", "replace").decode()


@cache
def _script() -> str:
    return joined_modules(_VIEWER / "viewer.js")


@cache
def _style() -> str:
    paths = (_FOLDER / "static" / "style.css", _VIEWER / "viewer.css")
    return _SPACE.sub(r"\1", "".join(path.read_text(encoding="utf-8") for path in paths))


def _hash(text: str) -> str:
    """What a security policy calls an inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(data: dict[str, Any]) -> str:
    """JSON that no name in it can break out of a script element from."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})


def _title(view: GameView, record: GameRecord | None) -> str:
    if record is not None:
        return f"Game {record.game_id}"
    names = (view.red_name, view.blue_name)
    return " – ".join(name or "?" for name in names) if any(names) else "A game of Hex"


def _facts(view: GameView, record: GameRecord | None) -> str:
    """What there is to say about the game, in a line."""
    size = view.board_size
    names = {"Red": view.red_name, "Blue": view.blue_name}
    facts = [f"{size}×{size}", *(f"{colour}: {name}" for colour, name in names.items() if name)]
    if record is not None and record.network:
        facts.append(f"network {record.network[:12]}")
    return " · ".join((*facts, view.end()))


def _steps(view: GameView) -> list[dict[str, Any]]:
    """What there is to show at each step, as far as the game can be played."""
    steps, board = list[dict[str, Any]](), np.zeros((view.board_size,) * 2, np.int8)
    for ply, step in enumerate(view.steps):
        try:
            after, turn = view.after(step)
        except NotationError:
            break  # the faults of the view say why
        steps.append(_step(view, ply, board, after))
        if turn != -steps[-1]["by"]:
            steps[-1]["turn"] = turn
        board = after
    return steps


def _step(view: GameView, ply: int, before: Stones, after: Stones) -> dict[str, Any]:
    """What led to a step, `by` the colour of a move or 0, and the cells that it `set`.

    `set` is left out where it is the stone of the move, and `turn` where it is the other's.
    """
    step = view.steps[ply]
    is_move = ply > 0 and view.steps[ply - 1].moves < step.moves
    changed, colours = np.flatnonzero(before != after).tolist(), after.flatten().tolist()
    what, by = view.what(ply), view.moves[step.moves - 1].colour if is_move else 0
    data: dict[str, Any] = {"what": what, "by": by}
    if changed != [what] or colours[changed[0]] != by:
        data["set"] = [[cell, colours[cell]] for cell in changed]
    if step.marks:
        data["said"] = step.marks
        data["marks"] = [mark for line in step.marks for mark in _marks(line, view.board_size)]
    return data


def _marks(line: str, size: int) -> Iterator[tuple[str, int, str]]:
    """Kind, cell and text of the marks on cells in a line of a step."""
    kind, _, places = line.partition(": ")
    for name, text in _MARK.findall(places):
        with suppress(NotationError):
            yield _MARKS[kind], cell_index(name, size), text


def _searched(record: GameRecord, ply: int) -> dict[str, Any]:
    """What the search saw at a step: chances and probabilities in thousandths.

    `chance` is Red's. `seen` has cell, prior and the mover's chance of each candidate one behind
    the other, best first, `policy` cell and probability of the improved policy, largest first.
    """
    if ply == len(record.moves):
        # Where a player resigned nobody knows what would have come.
        return {} if record.end == RESIGN else {"chance": 1000 if record.winner == RED else 0}
    if not record.search[ply]:
        return {}
    value = record.values[ply] * (BLUE if ply % 2 else RED)
    candidates = (record.candidate_cells, record.candidate_priors, record.candidate_values)
    policy = (record.policy_cells, record.policy_probabilities)
    if not all(np.isfinite(part[ply]).all() for part in (record.values, *candidates, *policy)):
        raise RecordError(f"game {record.game_id}: ply {ply + 1} has a number that is not finite")
    return {
        "chance": _chance(value),
        "seen": [
            number
            for cell, prior, value in zip(*(part[ply] for part in candidates), strict=True)
            if cell != NO_CELL
            for number in (int(cell), _thousandths(prior), _chance(value))
        ],
        "policy": [
            number
            for cell, share in zip(*(part[ply] for part in policy), strict=True)
            if cell != NO_CELL and share >= _LEAST_POLICY
            for number in (int(cell), _thousandths(share))
        ],
    }


def _thousandths(probability: float) -> int:
    return round(1000 * float(probability))


def _chance(value: float) -> int:
    """A value from -1 to 1 as a chance to win, in thousandths."""
    return _thousandths((value + 1) / 2)


def _name(what: int | str, size: int) -> str:
    return what if isinstance(what, str) else cell_name(what, size)
