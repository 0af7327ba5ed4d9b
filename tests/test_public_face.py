"""What `from hex_ai import …` offers, and that it costs nothing until it is asked for."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import hex_ai

PACKAGE = Path(hex_ai.__file__).parent

PUBLIC = """
__version__ GameRecord Games GamesDataset GlobalPositionCollector HexAIError HexNetwork
InferencePlan ModelInference NetworkConfig PositionCollector Positions PuctSearch PuctSettings
SearchTree SelfPlayEngine SelfPlaySettings build_search_tree_with_collection default_model_path
import_weights ladder learn load_architecture_module load_checkpoint load_games match read_games
read_hexworld read_sgf read_trmph register_architecture save_checkpoint serve_htp train
"""


def for_type_checkers() -> set[tuple[str, str]]:
    """(module, name) of the imports that only type checkers see."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    return {(node.module or "", alias.name) for node in imports for alias in node.names}


def test_the_names_are_these() -> None:
    assert hex_ai.__all__ == PUBLIC.split()
    assert set(PUBLIC.split()) <= set(dir(hex_ai))


@pytest.mark.parametrize("name", PUBLIC.split()[1:])
def test_a_name_is_what_type_checkers_take_it_for(name: str) -> None:
    (module,) = (module for module, known in for_type_checkers() if known == name)
    assert getattr(hex_ai, name) is getattr(import_module(module), name)
    assert not (PACKAGE / name).exists()
    assert not (PACKAGE / f"{name}.py").exists(), "importing it would replace the name"


def test_type_checkers_see_no_other_names() -> None:
    assert {name for _, name in for_type_checkers()} == set(PUBLIC.split()[1:])


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'hex_ai' has no attribute 'SelfPlay'"):
        _ = hex_ai.SelfPlay
    with pytest.raises(ImportError, match="cannot import name 'SelfPlay'"):
        exec("from hex_ai import SelfPlay")


def test_importing_the_package_loads_nothing_that_takes_time() -> None:
    """By what is loaded and not by a clock: no module of ours, and none but Python's own."""
    code = "import sys; before = set(sys.modules); import hex_ai; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = run.stdout.split()
    assert [name for name in modules if name.startswith("hex_ai")] == ["hex_ai"]
    assert {name.partition(".")[0] for name in modules} <= {"hex_ai", *sys.stdlib_module_names}


def test_our_own_code_imports_from_where_things_stand() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "hex_ai":
                assert [alias.name for alias in node.names] == ["__version__"], path
