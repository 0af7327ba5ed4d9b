"""Games of a run written in a named format, and games read from whatever a user names."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from hex_ai.errors import IllegalMoveError, NotationError, RecordError, SettingError, StoreError
from hex_ai.formats.charsets import wide_text
from hex_ai.formats.game_tree import GameTree
from hex_ai.formats.hexworld import ADDRESS as _HEXWORLD
from hex_ai.formats.hexworld import hexworld_moves, read_hexworld, write_hexworld
from hex_ai.formats.moves import PlayedGame, short
from hex_ai.formats.sgf import sgf_game, write_sgf
from hex_ai.formats.sgf_collection import find_games
from hex_ai.formats.sgf_tree import read_sgf_tree
from hex_ai.formats.tree_lines import tree_of_game, tree_of_moves
from hex_ai.formats.trmph import read_trmph, write_trmph
from hex_ai.formats.views import BoardView, GameView, view_of_game, view_of_moves, view_of_sgf
from hex_ai.game.records import GameRecord
from hex_ai.store.output_files import write_text
from hex_ai.store.replay import replay
from hex_ai.store.run_folder import read_games

_TRMPH = "https://trmph.com/hex/board"
_LINK = re.compile(
    r"(?:(?:(?:https?:)?//)?(?:www\.)?"
    r"(?:(?P<hexworld>hexworld\.org/(?:board/?(?:index\.html)?)?)|(?P<trmph>trmph\.com/hex/board/?))"
    r"#?|#|(?=[^,]*,))(?P<rest>[0-9]{1,4}(?:[x,rmnc].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_FILE = re.compile(r".*\.[a-z]+", re.IGNORECASE | re.DOTALL)
_SGF = re.compile(r"[\s\ufeff]*(?:\xef\xbb\xbf)?\s*\(\s*;")
_SGF_START = re.compile(r"\(\s*+;")
_MOVES = re.compile(r"(?:[a-z]+[1-9][0-9]*|:[a-zA-Z]+)+")
_REMARK = re.compile(r"\s*#(?![0-9])")


# Each takes board size, moves, winner and end.
Writer = Callable[[int, Sequence[int], int | None, str], str]

FORMATS: dict[str, Writer] = {
    "trmph": write_trmph,
    "sgf": write_sgf,
    "hexworld": write_hexworld,
}


def game_of(record: GameRecord) -> PlayedGame:
    """The play of a record, without what the search saw."""
    moves = tuple(record.moves.tolist())
    return PlayedGame(record.board_size, moves, record.winner, record.end)


def written_games(folder: str | os.PathLike[str], to: str) -> Iterator[tuple[int, str]]:
    """Id and line of each game of a run, in game-id order.

    Raises:
      SettingError: no format of that name; at once, not when the first line is asked for.
      StoreError: no run there, or a shard that cannot be read.
    """
    if to not in FORMATS:
        raise SettingError(f"format {to!r} is not one of {', '.join(FORMATS)}")
    return ((game.game_id, _written(game_of(game), FORMATS[to])) for game in read_games(folder))


def _written(game: PlayedGame, write: Writer) -> str:
    return write(game.board_size, game.moves, game.winner, game.end)


def store_lines(lines: Iterable[tuple[int, str]], folder: Path, ending: str) -> None:
    """Writes each line into a file of its own, `ID.ending`. Raises `StoreError` if it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
    for game_id, line in lines:
        write_text(folder / f"{game_id}.{ending}", line + "\n")


def read_line(text: str, *, winner_from_board: bool = False) -> PlayedGame:
    """A game from a TRMPH line or a HexWorld link.

    Where there is no address, a text that could be either is read as TRMPH. The address, its
    `https://` and the `#` may be missing, and signs may be written as `%23` and so on.

    Args:
      text: the line or link.
      winner_from_board: see `read_trmph`.

    Raises:
      NotationError: it is neither, or holds a move that is not supported.
    """
    link = _whole_link(text)
    if _is_trmph(link):
        return read_trmph(link, winner_from_board=winner_from_board)
    return read_hexworld(link)


def _whole_link(text: str) -> str:
    """A link with all its parts; another text as it is."""
    match = _LINK.fullmatch(unquote(text).strip())
    if match is None:
        return text
    address = _HEXWORLD if match["hexworld"] else _TRMPH if match["trmph"] else ""
    return f"{address}#{match['rest']}"


def _is_trmph(link: str) -> bool:
    if "hexworld" in link or "trmph" in link:
        return "hexworld" not in link
    size, comma, moves = link.partition("#")[2].partition(",")
    return size.isdecimal() and bool(comma) and ":" not in moves and "," not in moves


def board_at(
    source: str, game_id: int = 0, ply: int | None = None, *, winner_from_board: bool = False
) -> BoardView:
    """A board of the game that a user names.

    Args:
      source: and `game_id`, as for `find_view`.
      ply: see `GameView.board`.
      winner_from_board: see `read_trmph`.

    Raises:
      NotationError: a move that cannot be played; SettingError: no such ply; and as `find_view`.
    """
    view = find_view(source, game_id, winner_from_board=winner_from_board)
    try:
        return view.board(ply)
    except NotationError as error:
        name = f"{source}: game {game_id}" if os.path.exists(source) else short(source)
        raise NotationError(f"{name}: {error}") from error


def find_view(source: str, game_id: int = 0, *, winner_from_board: bool = False) -> GameView:
    """The game that a user names, to look at.

    Args:
      source: a run's folder; a file of SGF, TRMPH lines or HexWorld links; or the text of one.
      game_id: which game of the folder, or of the file or text, counted from 0.
      winner_from_board: see `read_trmph`.

    Raises:
      NotationError: a text that cannot be read, or a game that cannot be played.
      SettingError: no such game; StoreError: no such folder or file.
    """
    if os.path.isdir(source):
        return view_of_record(find_record(source, game_id), source)
    if os.path.exists(source):
        return _from_file(Path(source), game_id, winner_from_board)
    if _SGF.match(source):
        return _from_sgf(source, source, game_id)
    if _LINK.fullmatch(unquote(source).strip()) or "#" in source:
        if game_id:
            raise SettingError(f"{source}: holds one game, 0, and no game {game_id}")
        return _from_line(source, winner_from_board)
    raise _missing(source)


def tree_of_record(record: GameRecord) -> GameTree:
    """The play of a record as a tree: a root, and a node for each ply."""
    return tree_of_game(game_of(record))


def tree_of_text(text: str) -> GameTree:
    """The first game of a text, with its variations, whatever the text is.

    Args:
      text: SGF, also with something else before it, or TRMPH lines or HexWorld links, one a line.
        It is never taken for the name of a file.

    Raises:
      NotationError: it is none of these, or cannot be read.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and not _REMARK.match(line)]
    first = lines[0] if lines else ""
    is_line = _LINK.fullmatch(unquote(first).strip()) is not None
    if _SGF_START.search(text) and not is_line:
        return read_sgf_tree(text)
    if not is_line and "#" not in first:
        want = "a TRMPH line, a HexWorld link or SGF"
        if _MOVES.fullmatch(first):
            want = "the size of their board in front of moves, such as '11,a1b2'"
        raise NotationError(f"{short(first)} is no game: want {want}")
    tree = _tree_of_line(_whole_link(first))
    return replace(tree, note="the first of several lines") if len(lines) > 1 else tree


def _tree_of_line(link: str) -> GameTree:
    if _is_trmph(link):
        return tree_of_game(read_trmph(link))
    return tree_of_moves(*hexworld_moves(link))


def _missing(source: str) -> StoreError | NotationError:
    if _MOVES.fullmatch(source):
        want = "moves want the size of their board in front, such as '11,a1b2'"
        return NotationError(f"{short(source)}: no such file or folder; {want}")
    what = "no such file" if _FILE.fullmatch(source) else "no such folder or file"
    return StoreError(f"{source if len(source) < 200 else short(source)}: {what}")


def find_record(folder: str | os.PathLike[str], game_id: int) -> GameRecord:
    """A game of a run. Raises `SettingError` if there is none, `StoreError` if there is no run."""
    for record in read_games(folder):
        if record.game_id == game_id:
            return record
    raise SettingError(f"{folder}: holds no game {game_id}")


def view_of_record(record: GameRecord, folder: str | os.PathLike[str]) -> GameView:
    """A game of a run, to look at. Raises `IllegalMoveError` if a move of it is not legal."""
    return _view_by_rules(game_of(record), str(folder))


def _from_file(path: Path, game_id: int, winner_from_board: bool) -> GameView:
    """A game of a file, by what the file holds: lines, or else SGF."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    if _SGF.match(data[:1000].decode("latin-1")) or not _holds_lines(data):
        return _from_sgf(str(path), data, game_id)
    number, line = next(islice(_lines(data), max(game_id, 0), None), (0, ""))
    if game_id < 0 or not number:
        count = sum(1 for _ in _lines(data))
        raise SettingError(f"{path}: holds {count} games, from 0 on, and no game {game_id}")
    try:
        return _from_line(line, winner_from_board)
    except NotationError as error:
        raise NotationError(f"{path}: game {game_id}: line {number}: {error}") from error


def _holds_lines(data: bytes) -> bool:
    first = next(_lines(data), (0, ""))[1]
    return bool(_LINK.fullmatch(unquote(first).strip()))


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Lines that hold something, each with its number; a `#` without a size begins a remark."""
    text = wide_text(data) or data.decode("utf-8-sig", errors="replace")
    for number, line in enumerate(StringIO(text, newline=None), 1):
        if line.strip() and not _REMARK.match(line):
            yield number, line.strip()


def _from_line(text: str, winner_from_board: bool) -> GameView:
    link = _whole_link(text)
    if not _is_trmph(link):
        return view_of_moves(*hexworld_moves(link))
    game = read_trmph(link, winner_from_board=winner_from_board)
    return _view_by_rules(game, short(text))


def _view_by_rules(game: PlayedGame, name: str) -> GameView:
    """The view of a game whose moves are all legal. Raises `IllegalMoveError` if one is not."""
    try:
        replay(game.board_size, game.moves)
    except RecordError as error:
        raise IllegalMoveError(f"{name}: {error}") from error
    return view_of_game(game)


def _from_sgf(name: str, data: str | bytes, game_id: int) -> GameView:
    name, count = short(name) if name == data else name, 0
    try:
        for count, found in enumerate(find_games(data), 1):
            if count == game_id + 1:
                return view_of_sgf(sgf_game(found))
    except NotationError as error:
        where = f"game {game_id}: " if count else ""
        raise NotationError(f"{name}: {where}{error}") from error
    raise SettingError(f"{name}: holds {count} games, from 0 on, and no game {game_id}")
