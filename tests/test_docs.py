"""What the documents show must run, and what they name must be there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [name for name in targets if "://" not in name and not (page.parent / name).exists()]
    assert not missing
