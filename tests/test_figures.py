"""Figures of README and docs/performance.md come from the reports in benchmarks/results."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

# The report of the README's table, and the modes that its rows speak of.
README_REPORT = "cpu-64x6-11x11.json"

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)")


def numbers_in(data: Any) -> Iterator[float]:
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for entry in data:
            yield from numbers_in(entry)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield float(data)


def is_there(figure: str, known: list[float]) -> bool:
    """Whether a number rounds to this figure, as it is or as a percentage."""
    digits = len(figure.partition(".")[2])
    step = 0.5001 * 10**-digits
    return any(abs(float(figure) - x) <= step for k in known for x in (k, 100 * k))


def rows_of(table: str) -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in table.strip().splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def unfounded(row: list[str], reports: list[Any]) -> list[str]:
    """The figures of a row that no single report has, or no part of it that the row names."""
    figures = [figure for cell in row[1:] for figure in NUMBER.findall(cell)]
    missing = []
    for report in reports:
        parts = report.get("modes", {}) | report.get("contenders", {})
        named = [part for name, part in parts.items() if f"({name})" in row[0] or row[0] == name]
        known = list(numbers_in(named or report))
        missing.append([figure for figure in figures if not is_there(figure, known)])
    return min(missing, key=len)


def tables_of_performance() -> list[tuple[str, list[Any]]]:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- figures: ([^>]*?)-->\n\n((?:\|.*\n)+)", text)
    return [
        (table, [json.loads((RESULTS / name).read_text()) for name in names.split()])
        for names, table in found
    ]


@pytest.mark.parametrize(("table", "reports"), tables_of_performance())
def test_every_figure_of_a_table_is_in_one_of_its_reports(table: str, reports: list[Any]) -> None:
    for row in rows_of(table):
        assert unfounded(row, reports) == [], row


def test_tables_without_reports_have_no_figures() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    text = re.sub(r"<!-- figures: [^>]*?-->\n\n(?:\|.*\n)+", "", text)
    for line in text.splitlines():
        if line.startswith("|"):
            assert not re.search(r"\d\.\d|\d{3}", line), line


def test_the_figures_of_the_readme_are_in_its_report() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| \| fast \|\n\|---\|---\|\n(?:\|.*\n)+", text)
    report = json.loads((RESULTS / README_REPORT).read_text())
    rows = rows_of(table.replace("`", ""))
    assert len(rows) == 3
    for row in rows:
        assert unfounded(row, [report]) == [], row


def test_a_figure_that_nobody_measured_is_noticed() -> None:
    report = {"modes": {"full": {"moves_per_s": 113.61}, "other": {"moves_per_s": 99.0}}}
    assert unfounded(["full", "113.6"], [report]) == []
    assert unfounded(["full", "113.7 (99 to 120)"], [report]) == ["113.7", "99", "120"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_of_prose_is_over_120_characters(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    long = [
        line
        for line in text.splitlines()
        if len(line) > 120 and not line.startswith(("|", "    ", "<", "!")) and "](#" not in line
    ]
    assert long == []
