"""Trees of games that are one line of moves, and the main line of a tree as a line or link."""

from collections.abc import Iterable, Sequence

from hex_ai.errors import NotationError, SettingError
from hex_ai.formats.game_tree import GameTree, TreeNode
from hex_ai.formats.hexworld import hexworld_link, hexworld_moves
from hex_ai.formats.moves import ENDING, Move, PlayedGame, Word, moves_of
from hex_ai.formats.sgf import SgfGame
from hex_ai.formats.sgf_nodes import read_result, result_text
from hex_ai.formats.trmph import write_trmph

LINE_FORMATS = ("trmph", "hexworld")


def tree_of_moves(size: int, moves: Iterable[Move], result: str = "") -> GameTree:
    """A tree without variations: an empty root, and a node for each move.

    Args:
      size: N.
      moves: of a file, in any order of colours.
      result: as in `GameTree`; where it is empty, a last move that gives up decides.
    """
    nodes = [TreeNode(None)]
    for move in moves:
        nodes.append(TreeNode(len(nodes) - 1, move))
    last = nodes[-1].move
    if not result and last is not None and isinstance(last.what, Word) and last.what in ENDING:
        result = result_text(-last.colour, last.what)
    return GameTree(size, tuple(nodes), result=result)


def tree_of_game(game: PlayedGame) -> GameTree:
    """The tree of a game as the package plays it."""
    result = result_text(game.winner, game.end)
    return tree_of_moves(game.board_size, moves_of(game.moves), result)


def main_game(tree: GameTree) -> SgfGame:
    """The main line of a tree as `sgf_game` reads it from a file, without its steps."""
    moves, setup = tree.main_moves()
    winner, reason = read_result(tree.result)
    names = tree.red_name, tree.blue_name
    return SgfGame(tree.board_size, moves, setup, winner, reason, *names, note=tree.note)


def write_main_line(tree: GameTree, to: str) -> str:
    """The main line of a tree as a TRMPH line or a HexWorld link, without marks and comments.

    Args:
      tree: the tree.
      to: one of `LINE_FORMATS`. TRMPH has one swap, so swap-sides becomes swap-pieces and later
        cells are mirrored, as in `played_game`. HexWorld has both, and passes.

    Raises:
      NotationError: the format has no sign for something: stones set up by hand, moves out of turn
        or on occupied cells, in TRMPH passes.
      SettingError: another format.
    """
    if to not in LINE_FORMATS:
        raise SettingError(f"format {to!r} is not one of {', '.join(LINE_FORMATS)}")
    game = main_game(tree)
    try:
        if to == "hexworld":
            return _link(game)
        played = game.played()
        return write_trmph(played.board_size, played.moves, played.winner, played.end)
    except NotationError as error:
        raise NotationError(f"the main line cannot be written as {to}: {error}") from error


def _link(game: SgfGame) -> str:
    game.require_no_setup()
    game.position()
    moves = list(game.moves)
    if game.winner is not None and game.reason in ENDING and not _given_up(moves):
        moves.append(Move(-game.winner, Word(game.reason)))
    link = hexworld_link(game.board_size, moves)
    found = hexworld_moves(link)[1]
    for number, (move, read) in enumerate(zip(moves, found, strict=True), 1):
        if move != read:
            raise NotationError(f"move {number} is out of turn")
    return link


def _given_up(moves: Sequence[Move]) -> bool:
    return bool(moves) and moves[-1].what in ENDING
