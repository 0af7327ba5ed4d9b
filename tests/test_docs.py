"""What the documents show must run, and what they name must be there."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from test_call_chain import CHAIN
from test_layers import FLOOR_OF

import hex_ai
from hex_ai.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
TOP = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = sorted((ROOT / "benchmarks").rglob("*.md"))
WIDEST = 120


def prose_lines(page: Path) -> list[str]:
    """Lines of a page that are neither code nor rows of tables, without the targets of links."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.sub(r"\]\([^)]*\)", "]", text).splitlines()
    return [line for line in lines if not line.lstrip().startswith(("|", "<img"))]


def prose(page: Path) -> str:
    """The prose of a page, without code in its lines."""
    return re.sub(r"`[^`]*`", "", "\n".join(prose_lines(page)))


def test_readme_api_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    # The example as it stands, but for its size: 100 games of 7×7 are for a person to watch.
    code = block[1].replace("board_size=7", "board_size=3, runtime='eager'").replace("100", "5")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    games = [line.split() for line in capsys.readouterr().out.splitlines()[:5]]
    assert sorted(int(game_id) for game_id, _, _ in games) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_examples_import_is_there(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hex_ai"):
                module = import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [name for name in targets if "://" not in name and not (page.parent / name).exists()]
    assert not missing


def test_the_page_on_architecture_names_folders_files_and_the_chain_of_calls() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in FLOOR_OF:
        assert f"`{name}/`" in page or f"`{name}.py`" in page, name
    rows = re.findall(r"^\| `(\S+\.py)` \| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [*CHAIN, ("network/resnet.py", "forward")]
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", page):
        assert any((ROOT / top / name).is_file() for top in ("", "hex_ai")), name


def test_the_page_on_architecture_names_the_files_that_start_threads() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("\n## Threads\n")[2].partition("\n## ")[0]
    package = ROOT / "hex_ai"
    starts = re.compile(r"\b(Thread|ThreadPoolExecutor|Timer)\(")
    files = [path for path in package.rglob("*.py") if starts.search(path.read_text("utf-8"))]
    named = re.findall(r"^\| `(\S+\.py)` \|", section, re.MULTILINE)
    assert sorted(named) == sorted(path.relative_to(package).as_posix() for path in files)


@pytest.mark.parametrize("page", [*PAGES, *ELSEWHERE], ids=lambda page: page.name)
def test_lines_of_prose_are_short(page: Path) -> None:
    long = [line for line in prose_lines(page) if len(line) > WIDEST]
    assert not long


def test_the_readme_is_short_and_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert not [name for name in COMMANDS if not re.search(rf"`(hex-ai )?{name}`", text)]


def test_the_log_starts_with_an_index_of_its_entries() -> None:
    text = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    index, *entries = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [entry.splitlines()[0] for entry in entries]
    assert re.findall(r"^- \[(.+)\]\(#", index, re.MULTILINE) == titles
    anchors = [re.sub(r"[^\w -]", "", title.lower()).strip() for title in titles]
    shown = re.findall(r"^- \[.+\]\(#(.+)\)", index, re.MULTILINE)
    assert shown == [re.sub(r"[-\s]+", "-", anchor) for anchor in anchors]


def test_the_reference_shows_the_whole_public_face() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: hex_ai\.(?:\w+\.)+(\w+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(hex_ai.__all__[1:])
