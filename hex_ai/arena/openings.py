"""The openings of a match: spread over the board, nearest to even, or out of a suite."""

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import torch

from hex_ai.errors import NotationError, SettingError
from hex_ai.formats.trmph import read_trmph
from hex_ai.game.notation import cell_index
from hex_ai.game.positions import Positions
from hex_ai.game.records import MIN_SIZE, SWAP
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan, prompt_runtime, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import Evaluator, PositionCollector
from hex_ai.keyed_random import Stream, random_bits
from hex_ai.network.checkpoint import default_model_path, load_checkpoint

# Games of a match where neither their number nor a suite says how many.
GAMES = 200

# A file of openings is not larger than this.
MOST_BYTES = 2**24

Opening = tuple[int, ...]


def match_openings(
    kind: str, board_size: int, games: int | None, *, seed: int = 0, device: str = "auto"
) -> list[Opening]:
    """The openings of a match, board cells, no two alike; each is played twice.

    Args:
      kind: `spread`, `fair`, `balanced`, or the path of a file, see `match`.
      board_size: N, 3 to 19.
      games: an even number; None: two of each opening of a suite, or else 200.
      seed: of what is drawn.
      device: of the network that judges what is fair.

    Raises:
      SettingError: a number of games or a kind of openings that is impossible, a suite without this
        board size or with fewer openings, or a file that cannot be read.
    """
    Positions.empty(0, board_size)
    if board_size < MIN_SIZE:
        raise SettingError(f"board size {board_size} is below {MIN_SIZE}")
    if games is not None and (games < 2 or games % 2):
        raise SettingError(f"{games} games: want an even number, two of each opening")
    if kind not in ("spread", "fair"):
        return _of_suite(kind, board_size, games)
    moves, games = board_size**2, games or GAMES
    if games > 2 * moves + moves * (moves - 1):
        raise SettingError(f"{games} games: there are not so many openings")
    if kind == "spread":
        return spread_openings(board_size, games // 2, seed)
    network = load_checkpoint(default_model_path()).network
    place = resolve_device(device)
    judge = ModelInference(network, default_plan(place, prompt_runtime(place)))
    cells = [(cell,) for cell in fair_cells(board_size, judge, judge.device)]
    return _with_pairs(cells, board_size, games // 2, seed)


def read_openings(path: Path, board_size: int) -> list[Opening]:
    """The openings in a file: a JSON list of lists of cell names, or a TRMPH line each.

    Raises:
      SettingError: no such file, or one that holds anything else, no opening, one twice, or one
        that is no start of a game on this board.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingError(f"openings {str(path)!r}: {_reason(error)}") from error
    if len(text) > MOST_BYTES:
        raise SettingError(f"openings {str(path)!r}: more than {MOST_BYTES} bytes")
    try:
        if text.lstrip().startswith("["):
            found = _from_json(json.loads(text), board_size)
        else:
            lines = enumerate(text.splitlines(), 1)
            found = [_from_line(number, line, board_size) for number, line in lines if line.strip()]
        _require_openings(found, board_size)
    except (NotationError, SettingError, ValueError, RecursionError) as error:
        raise SettingError(f"openings {str(path)!r}: {error}") from error
    return found


def _of_suite(kind: str, board_size: int, games: int | None) -> list[Opening]:
    if kind == "balanced":
        suite = json.loads((files("hex_ai.arena") / "balanced.json").read_text())
        if str(board_size) not in suite:
            sizes = ", ".join(suite)
            raise SettingError(f"openings 'balanced' are there for {sizes}, not for {board_size}")
        found = _from_json(suite[str(board_size)], board_size)
    else:
        found = read_openings(Path(kind), board_size)
    wanted = len(found) if games is None else games // 2
    if wanted > len(found):
        raise SettingError(f"{games} games: openings {kind!r} are {len(found)}, two games each")
    return found[:wanted]


def _from_json(listed: object, board_size: int) -> list[Opening]:
    if not isinstance(listed, list) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in listed
    ):
        raise SettingError("not a list of lists of cells")
    return [tuple(cell_index(name, board_size) for name in names) for names in listed]


def _from_line(number: int, line: str, board_size: int) -> Opening:
    game = read_trmph(line)
    if game.board_size != board_size:
        raise SettingError(f"line {number} is for {game.board_size}x{game.board_size}")
    if SWAP in game.moves:
        raise SettingError(f"line {number} has a swap, and matches have none")
    return game.moves


def _require_openings(found: list[Opening], board_size: int) -> None:
    if not found:
        raise SettingError("holds no opening")
    seen: set[Opening] = set()
    for number, cells in enumerate(found, 1):
        if cells in seen:
            raise SettingError(f"opening {number} is there twice")
        if len(set(cells)) < len(cells):
            raise SettingError(f"opening {number} has a cell twice")
        seen.add(cells)
        position = Positions.empty(1, board_size)
        for cell in cells:
            position = position.play(position.to_board_cells(torch.tensor([cell])))
        if bool(position.finished[0]):
            raise SettingError(f"opening {number} is a game that is over")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "neither 'spread', 'fair' nor 'balanced', nor a file that is there"
    return error.strerror or str(error) if isinstance(error, OSError) else "not a text in UTF-8"


def spread_openings(size: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """So many openings, board cells, no two alike.

    Single cells, each before its rotation by 180°, which is the same opening to whoever plays by
    the position alone; spread over the board if not all are wanted. Then pairs of cells, drawn by
    the seed.
    """
    last, half = size**2 - 1, (size**2 + 1) // 2
    cells = torch.linspace(0, half - 1, min(count, half)).round().long().tolist()
    return _with_pairs(
        [(cell,) for cell in (*cells, *(last - c for c in cells))], size, count, seed
    )


def _with_pairs(
    cells: Iterable[tuple[int, ...]], size: int, count: int, seed: int
) -> list[tuple[int, ...]]:
    """The first `count` of these openings, without repeats, and pairs of cells for what lacks."""
    found, moves, draw = dict.fromkeys(cells), size**2, 0
    while len(found) < count:
        bits = random_bits(seed, torch.tensor([Stream.MATCH_OPENING]), torch.tensor([draw]))
        one, other = divmod(int(bits.remainder(moves * moves)), moves)
        if one != other:
            found.setdefault((one, other))
        draw += 1
    return list(found)[:count]


def fair_cells(size: int, evaluator: Evaluator, device: torch.device) -> tuple[int, ...]:
    """All opening cells of a board, the fairest first: those whose value is nearest 0.

    A cell and its rotation by 180° are the same opening, and share the mean of their values. So the
    half of the board comes first, then its rotation.

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
