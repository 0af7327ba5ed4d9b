"""Games of a run written in a named format, and games read from whatever a user names."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hex_ai.errors import IllegalMoveError, NotationError, RecordError, SettingError, StoreError
from hex_ai.formats.hexworld import read_hexworld, write_hexworld
from hex_ai.formats.moves import PlayedGame
from hex_ai.formats.sgf import read_sgf, write_sgf
from hex_ai.formats.trmph import read_trmph, write_trmph
from hex_ai.game.notation import cell_name
from hex_ai.game.positions import Positions
from hex_ai.game.records import SWAP, GameRecord
from hex_ai.store.replay import replay
from hex_ai.store.run_folder import read_games, write_text

FILE_ENDINGS = (".sgf", ".hsgf")


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


def read_line(text: str) -> PlayedGame:
    """A game from a TRMPH line or a HexWorld link.

    Where there is no address, a text that could be either is read as TRMPH.

    Raises:
      NotationError: it is neither, or holds a move that is not supported.
    """
    if "hexworld" not in text and ("trmph" in text or not _only_hexworld(text)):
        return read_trmph(text)
    return read_hexworld(text)


def _only_hexworld(text: str) -> bool:
    size, comma, moves = text.partition("#")[2].partition(",")
    return not size.isdecimal() or not comma or ":" in moves or "," in moves


def find_game(source: str, game_id: int = 0) -> PlayedGame:
    """The game that a user names.

    Args:
      source: a TRMPH line, a HexWorld link, an SGF file (`.sgf`, `.hsgf`), or a run's folder.
      game_id: which game of the folder, or of the file, counted from 0.

    Raises:
      NotationError: a text that cannot be read, or a game that cannot be played.
      SettingError: no such game; StoreError: no such folder or file.
    """
    if source.lower().endswith(FILE_ENDINGS):
        return _from_file(Path(source), game_id)
    if "#" in source and not os.path.isdir(source):
        if game_id:
            raise SettingError(f"{source}: holds one game, 0, and no game {game_id}")
        return read_line(source)
    for record in read_games(source):
        if record.game_id == game_id:
            return game_of(record)
    raise SettingError(f"{source}: holds no game {game_id}")


def _from_file(path: Path, game_id: int) -> PlayedGame:
    try:
        games = read_sgf(_text(path))
        if 0 <= game_id < len(games):
            return games[game_id].played()
    except NotationError as error:
        raise NotationError(f"{path}: {error}") from error
    raise SettingError(f"{path}: holds no game {game_id}")


def _text(path: Path) -> str:
    """Text of a file in UTF-8, or else in Latin-1, the default of SGF."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def position_at(
    source: str, game_id: int = 0, ply: int | None = None
) -> tuple[Positions, int | None, str]:
    """The board (B = 1) after some plies of a game, the last cell played there, and a caption.

    Args:
      source: and `game_id`, as for `find_game`.
      ply: how many plies to play; None: all.

    Raises:
      IllegalMoveError: a move after the end; SettingError: no such ply; and as `find_game`.
    """
    game = find_game(source, game_id)
    plies = len(game.moves)
    ply = plies if ply is None else ply
    if not 0 <= ply <= plies:
        raise SettingError(f"ply {ply} is outside 0 to {plies}")
    try:
        position = replay(game.board_size, game.moves[:ply])[-1]
    except RecordError as error:
        raise IllegalMoveError(f"{source}: {error}") from error
    last = game.moves[ply - 1] if ply else None
    name = "none" if last is None else "swap" if last == SWAP else cell_name(last, game.board_size)
    return position, last, f"ply {ply} of {plies}: {name}"
