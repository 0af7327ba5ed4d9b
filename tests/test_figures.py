"""Figures in the tables of README.md and docs/performance.md come from benchmarks/results."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
FOLDERS = ("benchmarks", "docs", "examples")
PAGES = sorted({*ROOT.glob("*.md"), *(page for f in FOLDERS for page in (ROOT / f).rglob("*.md"))})
NUMBER = re.compile(r"(?<![\w.])[\d,]*\d(?:\.\d+)?(?: ?%)?")

# What the columns of the table of speed hold; the row's report and mode say where.
COLUMNS = {
    "moves/s": "moves_per_s",
    "range": "moves_per_s_range",
    "evaluations/s": "evaluations_per_s",
    "of the bare network": "efficiency",
}
LABELS = {"network, board, widths", "mode", "what limits the speed", "report", "source"}


class Row(NamedTuple):
    heading: str
    cells: dict[str, str]  # by the title of their column


def rows(text: str) -> Iterator[Row]:
    heading, titles = "", []
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        if not line.startswith("|"):
            titles = []
        elif not titles:
            titles = [title.strip() for title in line.strip("|").split("|")]
        elif not line.startswith("|---"):
            yield Row(
                heading, dict(zip(titles, map(str.strip, line[1:-1].split("|")), strict=True))
            )


def agrees(shown: str, value: float) -> bool:
    """Whether a figure, with its rounding and perhaps a percent sign, is the value."""
    digits = shown.strip(" %").replace(",", "")
    scaled = value * 100 if shown.endswith("%") else value
    return f"{scaled:.{len(digits.partition('.')[2])}f}" == digits


def look_up(report: str, path: str) -> list[float]:
    """The number or numbers of a report at a path; `a ÷ b` is a quotient."""
    found: Any = json.loads((RESULTS / f"{report}.json").read_text())
    if "÷" in path:
        (above,), (below,) = (look_up(report, part.strip()) for part in path.split("÷"))
        return [above / below]
    for key in path.split("/"):
        found = found[key]
    return found if isinstance(found, list) else [found]


def source(row: Row, title: str) -> list[float]:
    if "source" in row.cells and title == "figure":
        _, report, path = row.cells["source"].split("`")
        return look_up(report, path.strip())
    report = row.cells["report"].strip("`")
    group = "contenders" if report.startswith("peers") else "modes"
    contender = f"{row.cells['mode']}/{COLUMNS[title]}"
    return look_up(report, f"{group}/{contender}")


FIGURES = [
    (row, title)
    for row in rows(PERFORMANCE)
    for title, cell in row.cells.items()
    if title not in LABELS and any(map(str.isdigit, cell))
]


@pytest.mark.parametrize(("row", "title"), FIGURES, ids=lambda part: str(part)[-30:])
def test_a_figure_of_the_performance_page_is_its_reports(row: Row, title: str) -> None:
    shown = NUMBER.findall(row.cells[title])
    for figure, value in zip(shown, source(row, title), strict=True):
        assert agrees(figure, value), f"{figure} in {row.cells}, but {value} in the report"


def numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict | list):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(child)
    elif isinstance(tree, int | float):
        yield float(tree)


def test_figures_of_the_readme_are_found_in_reports() -> None:
    known = [n for file in RESULTS.rglob("*.json") for n in numbers(json.loads(file.read_text()))]
    strength = NUMBER.findall((ROOT / "docs" / "strength.md").read_text(encoding="utf-8"))
    for row in rows((ROOT / "README.md").read_text(encoding="utf-8")):
        # The first column names what was measured; matches have no reports, but a page.
        figures = NUMBER.findall(" | ".join(list(row.cells.values())[1:]))
        if "fast" in row.heading.lower():
            for figure in figures:
                found = figure in strength or any(agrees(figure, value) for value in known)
                assert found, f"{figure} in {row.cells}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_prose_is_over_120_characters(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)  # where a link leads is no prose
    wide = [line for line in text.splitlines() if len(line) > 120 and line[0] not in "|!<"]
    assert not wide
