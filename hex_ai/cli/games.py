"""The commands that look at stored games."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hex_ai.cli.output import out
from hex_ai.errors import RecordError, SettingError, StoreError
from hex_ai.formats.games import FORMATS, board_at, store_lines, written_games
from hex_ai.formats.text import board_text
from hex_ai.game.records import RESIGN, STOPS, GameRecord
from hex_ai.game.svg import board_svg
from hex_ai.store.output_files import write_text
from hex_ai.store.replay import find_faults
from hex_ai.store.run_folder import read_run, read_shard, read_summary, require_folder, shard_paths
from hex_ai.training.learn_folder import read_notes
from hex_ai.web.document import document_of, run_documents

HTML = "html"

Folder = Annotated[Path, typer.Argument(help="folder of a self-play run")]


def show(
    source: Annotated[
        str,
        typer.Argument(
            help="folder of a run, TRMPH line, HexWorld link, SGF, or a file of one of these"
        ),
    ],
    game: Annotated[int, typer.Option(help="id of the game in the folder or file")] = 0,
    ply: Annotated[int | None, typer.Option(help="plies to play; default: all")] = None,
    svg: Annotated[Path | None, typer.Option(help="draw it into this file instead")] = None,
    html: Annotated[
        Path | None, typer.Option(help="write the whole game, to click through, into this file")
    ] = None,
    winner_from_board: Annotated[
        bool,
        typer.Option(
            "--winner-from-board",
            help="where a TRMPH line names the loser as the winner, believe the board",
        ),
    ] = False,
) -> None:
    """Show a game's board."""
    if html is not None:
        document = document_of(source, game, ply, winner_from_board=winner_from_board)
        write_text(html, document + "\n")
        if svg is None:
            return
    board = board_at(source, game, ply, winner_from_board=winner_from_board)
    if svg is not None:
        write_text(svg, board_svg(board.position.board()[0].tolist(), board.last))
        return
    out.print(board_text(board.position, board.last))
    for line in board.lines:
        out.print(line)


def export(
    folder: Folder,
    to: Annotated[str, typer.Option("--format", help=", ".join((*FORMATS, HTML)))] = "trmph",
    output: Annotated[
        Path | None, typer.Option("--out", help="folder to write a file a game into instead")
    ] = None,
) -> None:
    """Print the games of a run, one a line, in game-id order."""
    lines = _written_games(folder, to, output)
    if output is not None:
        store_lines(lines, output, to)
        return
    for _, line in lines:
        print(line)


def _written_games(folder: Path, to: str, output: Path | None) -> Iterator[tuple[int, str]]:
    """Id and text of each game."""
    if to in FORMATS:
        return written_games(folder, to)
    if to != HTML:
        raise SettingError(f"format {to!r} is not one of {', '.join((*FORMATS, HTML))}")
    if output is None:
        raise SettingError("format html is a file a game: name a folder for them with --out")
    return run_documents(folder)


def verify(folder: Folder) -> None:
    """Play stored games again and check records, ids, winners and digests."""
    require_folder(folder)
    run = read_run(folder)
    if run is None:
        raise StoreError(f"{folder}: holds no run")
    faults, seen, is_foreign = [], set[int](), _foreign_to(folder, run)
    # Before the shards: a run that ends meanwhile would have more of them than were listed.
    summary = read_summary(folder)
    for path in shard_paths(folder):
        games = read_shard(path)
        faults += find_faults(games)
        for game in games:
            if game.game_id in seen:
                faults.append(f"game {game.game_id}: stored twice")
            if is_foreign(game):
                faults.append(f"game {game.game_id}: played by another network")
            faults += _faults_of_settings(game, run["settings"])
            seen.add(game.game_id)
    if summary is not None:
        wanted = range(summary["first_game"], summary["first_game"] + summary["num_games"])
        faults += [f"game {game_id}: missing" for game_id in wanted if game_id not in seen]
        faults += [f"game {game_id}: not asked for" for game_id in seen if game_id not in wanted]
    for fault in faults[:20]:
        print(fault)
    if faults:
        raise RecordError(f"{folder}: {len(faults)} faults in {len(seen)} games")
    print(f"{len(seen)} games, no faults, {_state(run, summary)}")


def _faults_of_settings(game: GameRecord, settings: dict[str, Any]) -> Iterator[str]:
    """What of a game is not as the settings of its run have it."""
    if game.board_size != settings.get("board_size"):
        yield f"game {game.game_id}: of another board size"
    if game.end in STOPS and game.end not in settings.get("stop", ()):
        yield f"game {game.game_id}: ended by {game.end}, in a run without that"
    elif game.end == RESIGN:
        ply, _ = game.first_resignation(settings.get("resign_threshold", 0.0)) or (None, None)
        if ply != len(game.moves) - 1:
            yield f"game {game.game_id}: nobody has reason to resign at its last ply"


def _state(run: dict[str, Any], summary: dict[str, Any] | None) -> str:
    """How far a run is. A run of learning has no summary: it can always be gone on with."""
    if _is_of_learning(run):
        return "of a run of learning"
    return "complete" if summary else "not finished yet"


def _is_of_learning(run: dict[str, Any]) -> bool:
    return "learnt_in" in run["network"]


def _foreign_to(folder: Path, run: dict[str, Any]) -> Callable[[GameRecord], bool]:
    """Says of games whether another network played them than the run's.

    In a run of learning those of all its rounds may have; the round under way is not noted yet.
    """
    if not _is_of_learning(run):
        return lambda game: game.network != run["network"].get("digest")
    notes = read_notes(folder.resolve().parent.parent)
    rounds = notes["rounds"] if notes else []
    digests = {row["network"] for row in rounds}
    noted = max((row["games"] for row in rounds), default=0)
    return lambda game: game.game_id < noted and game.network not in digests
