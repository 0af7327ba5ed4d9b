"""The floors of the house: a module imports only from floors below its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "hex_ai"

# Each line is a floor, the lowest first. Every module of the package stands on exactly one.
FLOORS = """
errors interrupts
atomic_files commands.output game.positions game.notation value_utils htp.protocol htp.clock
inference.network inference.move_choice inference.inference_plan inference.runtimes
selfplay.records game.proven
inference.proof_tree inference.probe inference.cell_sets inference.position_pool
bare_speed board_text board_svg report_text bench_plots formats.moves selfplay.stopping htp.game
game.threats selfplay.host_copies
inference.resnet18 inference.evaluation_cache selfplay.record_table
formats.trmph formats.sgf_text formats.hexworld
inference.weight_files selfplay.replay selfplay.summary formats.sgf
inference.checkpoint inference.foreign_weights selfplay.game_store
inference.model_inference formats.games
inference.tuning
inference.position_collector
inference.fixed_tree_search selfplay.openings inference.timed_search
selfplay.lane inference.levels arena.rating htp.sgf
arena.players arena.htp_engine htp.chooser htp.settings
selfplay.lanes htp.analysis
selfplay.selfplay_engine htp.engine
wall_shares kernel_trace progress training.samples training.growth training.run_folder htp.command
bench_modes training.schedule training.trainer training.window training.calibration
bench training.learning training.fitting
training.curves arena.match arena.foreign
arena.specs arena.ladder
commands.playing commands.games commands.measuring commands.learning
app
cli
"""

FLOOR_OF = {
    name: number for number, line in enumerate(FLOORS.strip().splitlines()) for name in line.split()
}


def module_names() -> dict[str, Path]:
    paths = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hex_ai."):
            found.add((node.module or "").removeprefix("hex_ai."))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("hex_ai.")]
            found.update(name.removeprefix("hex_ai.") for name in names)
    return found


def test_every_module_has_a_floor() -> None:
    assert set(module_names()) == set(FLOOR_OF)


def test_modules_import_only_from_floors_below() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in module_names().items()
        for imported in imported_modules(path)
        if FLOOR_OF.get(imported, -1) >= FLOOR_OF[name]
    ]
    assert not wrong


def test_packages_import_nothing() -> None:
    """An `__init__.py` that imports would let a module reach any floor through it."""
    for path in PACKAGE.rglob("__init__.py"):
        assert not imported_modules(path), path
