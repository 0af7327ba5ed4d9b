"""What users import from `hex_ai`: each name is there, and costs nothing before it is used."""

import inspect
import subprocess
import sys

import pytest

import hex_ai

TEXT = """
GameRecord Games GlobalPositionCollector HexAIError HexNetwork InferencePlan ModelInference
NetworkConfig PositionCollector Positions PuctSearch SelfPlayEngine SelfPlaySettings
build_search_tree_with_collection import_weights learn load_architecture_module load_checkpoint
load_games match read_games read_hexworld read_sgf read_trmph register_architecture save_checkpoint
serve_htp
"""
NAMES = TEXT.split()


def test_the_public_names_are_these() -> None:
    assert hex_ai.__all__ == NAMES == sorted(hex_ai._HOMES)
    assert set(NAMES) <= set(dir(hex_ai))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_home_defines_and_explains(name: str) -> None:
    found = getattr(hex_ai, name)
    assert found.__module__ == f"hex_ai.{hex_ai._HOMES[name]}"
    assert inspect.getdoc(found)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'hex_ai' has no attribute 'nobody'"):
        hex_ai.nobody  # noqa: B018


def test_importing_the_package_loads_nothing_of_it_and_no_library() -> None:
    """By what is loaded and not by a clock: torch alone takes seconds."""
    code = (
        "import sys; before = set(sys.modules); import hex_ai;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}));"
        "print(*(name for name in sys.modules if name.startswith('hex_ai.')));"
        "hex_ai.Positions; print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, own, then = ran.stdout.split("\n")[:3]
    assert "hex_ai" in loaded.split()
    assert set(loaded.split()) <= {"hex_ai", *sys.stdlib_module_names}
    assert own == ""
    assert then == "True"
