"""Every figure in README and docs/performance.md must stand in a raw report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_docs import ROOT, prose

RESULTS = ROOT / "benchmarks" / "results"
Cells = list[str]


def report(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


MODES = report("cpu-64x6-11x11")
BARE = report("bare-64x6-11x11")["contenders"]
PEERS = report("peers-64x6-11x11")["contenders"]
STOPS = {stop: report(f"stop/{stop}") for stop in ("none", "proven", "proven-resign")}
SMALL = report("cpu-32x6-11x11")
BEST_OF_TORCH = max(
    BARE[name]["best"]["median"]
    for name in ("eager-f32", "compiled-f32", "frozen-f32", "tuned-f32")
)


def spread(middle: float, low: float, high: float, digits: int) -> str:
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def selfplay(stop: str) -> Cells:
    speed = STOPS[stop]["performance"]
    return [
        f"{speed['games_per_s']:.1f}",
        f"{speed['moves_per_s']:.0f}",
        f"{speed['evaluations_per_s']:.0f}",
        "",
    ]


def mode(run: Any, name: str, digits: int) -> Cells:
    figures = run["modes"][name]
    return [
        f"{figures['games_per_s']:.{digits}f}",
        f"{figures['moves_per_s']:.0f}",
        f"{figures['evaluations_per_s']:.0f}",
        f"{figures['efficiency']:.2f}",
    ]


def peer_speed(name: str) -> Cells:
    return [
        "",
        f"{PEERS[name]['moves_per_s']:.0f}",
        f"{PEERS[name]['evaluations_per_s']:.0f}",
        "",
    ]


def efficiency(name: str) -> Cells:
    run = report(name)
    figures = run["modes"]["cross-game"]
    return [
        f"{figures['evaluations_per_s']:.0f}",
        f"{run['raw']['evals_per_s']:.0f}",
        spread(figures["efficiency"], *figures["efficiency_range"], 2),
        f"{figures['network_share']:.3f}",
    ]


def all_of_mode(name: str) -> Cells:
    figures = MODES["modes"][name]
    return [
        spread(figures["moves_per_s"], *figures["moves_per_s_range"], 1),
        f"{figures['evaluations_per_s']:.0f}",
        f"{figures['mean_batch']:.1f}",
        f"{figures['efficiency']:.2f}",
        f"{figures['hit_rate']:.1%}",
        f"{figures['network_share']:.2f}",
    ]


def bare(name: str) -> Cells:
    rows, best = BARE[name]["rows_per_s"], BARE[name]["best"]
    return [
        f"{rows['1']['median']:.0f}",
        f"{rows['128']['median']:.0f}",
        spread(best["median"], best["low"], best["high"], 0),
        f"{best['median'] / BEST_OF_TORCH:.2f}",
    ]


def stopped(name: str) -> Cells:
    run = STOPS[name]
    evaluations = run["performance"]["evaluations"]
    return [
        f"{run['games']['mean_length']:.1f}",
        f"{evaluations / run['games']['games']:.0f}",
        f"{evaluations / STOPS['none']['performance']['evaluations']:.2f}",
        f"{run['performance']['games_per_s']:.1f}",
    ]


def peer(name: str) -> Cells:
    figures = PEERS[name]
    return [
        spread(figures["moves_per_s"], *figures["moves_per_s_range"], 1),
        f"{figures['evaluations_per_s']:.0f}",
        f"{figures['moves_per_s_to_ours']:.2f}",
    ]


def times(mode_: str, other: str) -> float:
    return MODES["modes"][mode_]["moves_per_s"] / MODES["modes"][other]["moves_per_s"]


def limits() -> list[Cells]:
    flops = MODES["flops_per_evaluation"] * MODES["raw"]["evals_per_s"]
    gain = MODES["raw"]["evals_per_s"] / MODES["raw"]["sweep"]["1"]
    rest = [1 - run["modes"]["cross-game"]["network_share"] for run in (SMALL, MODES)]
    finite = SMALL["finite"]
    starts = [run["compile_seconds"] for run in (SMALL, MODES)]
    return [
        [f"{flops / 1e9:.0f} billion", f"product at {MODES['matmul_flops_per_s'] / 1e9:.0f}"],
        [f"{gain:.1f} times as fast", f"{times('cross-game', 'individual'):.1f} times the moves"],
        [f"{100 * rest[0]:.1f} % of the time", f"{100 * rest[1]:.1f} % at 64 × 6"],
        [f"{100 * (1 - finite['of_steady']):.0f} % of a run of {finite['games']} games"],
        [f"{starts[0]:.1f} and {starts[1]:.1f} s"],
    ]


def history() -> list[Cells]:
    modes = MODES["modes"]
    calls = [modes[name]["network_calls_per_move"] for name in ("batched", "cross-game")]
    return [
        [f"{calls[0]:.1f} one game, {calls[1]:.2f} all games"],
        [f"{modes['cross-game']['mean_batch']:.0f}"],
        [f"{modes['cross-game']['games_per_s']:.1f}"],
        [f"{100 * modes['full']['hit_rate']:.0f} %"],
        ["no accelerator"],
        [f"{times('cross-game', 'individual'):.1f}×"],
        [f"{times('full', 'plan-style'):.1f}×"],
    ]


def won(size: int) -> Cells:
    """Of a saved match every second game, from the first on, is one with Red for the first."""
    lines = (RESULTS / "match" / f"mcts-1000-{size}x{size}.trmph").read_text().splitlines()
    wins = sum(line.split()[1] == "rb"[number % 2] for number, line in enumerate(lines))
    return [f"{wins} of {len(lines)}"]


SPEED = [
    selfplay("none"),
    selfplay("proven"),
    mode(SMALL, "cross-game", 1),
    *(mode(MODES, name, 2) for name in ("cross-game", "full", "individual")),
    peer_speed("pgx + mctx float32"),
    peer_speed("OpenSpiel MCTS"),
]

# The tables of docs/performance.md in their order, without the cells that hold no figures of ours.
TABLES = [
    SPEED,
    limits(),
    [
        efficiency(name)
        for name in (
            "cpu-64x6-11x11",
            "efficiency-64x6-13x13",
            "efficiency-64x6-11x11-8x4",
            "cpu-32x6-11x11",
            "efficiency-32x6-13x13",
            "efficiency-32x6-11x11-8x4",
        )
    ],
    [all_of_mode(name) for name in MODES["modes"]],
    [
        bare(name)
        for name in (
            "eager-f32",
            "compiled-f32",
            "frozen-f32",
            "tuned-f32",
            "openvino-f32",
            "openvino-f32-throughput",
            "onnxruntime-f32",
            "frozen-int8",
            "openvino-int8",
        )
    ],
    [stopped(name) for name in STOPS],
    [peer(name) for name in PEERS],
    history(),
]


def tables(page: str) -> list[list[Cells]]:
    """Rows of cells of each table, without its head."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[line.strip().strip("|") for line in table.splitlines()[2:]] for table in found]
    return [[[cell.strip() for cell in row.split("|")] for row in table] for table in rows]


@pytest.mark.parametrize("number", range(len(TABLES)))
def test_the_tables_of_speed_are_those_of_the_reports(number: int) -> None:
    wanted, shown = TABLES[number], tables("docs/performance.md")[number]
    assert len(shown) == len(wanted)
    for cells, expected in zip(shown, wanted, strict=True):
        if wanted == limits():  # figures within sentences
            assert all(figure in cells[1] for figure in expected), (cells, expected)
        else:
            assert cells[-len(expected) :] == expected, cells[0]


def test_there_are_no_other_tables() -> None:
    assert len(tables("docs/performance.md")) == len(TABLES)


def test_readme_says_how_fast_and_how_strong_by_the_reports() -> None:
    small = tables("README.md")[-1]
    assert [cells[1:2] for cells in small] == [
        [f"{STOPS['none']['performance']['games_per_s']:.1f} games a second"],
        [f"{MODES['modes']['cross-game']['efficiency']:.2f} of the bare network"],
        [f"{times('cross-game', 'individual'):.1f} times the moves"],
        [f"{PEERS['pgx + mctx float32']['moves_per_s_to_ours'] ** -1:.1f} times the moves"],
        *([f"{won(size)[0]} games won"] for size in (5, 9, 11)),
    ]


# What is no measurement: versions, dates, sizes of boards, of networks and of searches.
PLAIN = r"\d{4}-\d\d-\d\d|\d+ × \d+|\(\d, \d\)|torch \d\S+|Zen 3|AVX-512|AVX2|ResNet-18|bf(loat)?16"
SETTINGS = r"float32|float64|int8|\b(32 games|128 games|128 games in flight)\b|MIT|≥ 3\.11"


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_figures_stand_in_tables_where_they_are_looked_up(page: str) -> None:
    text = re.sub(f"{PLAIN}|{SETTINGS}", "", prose(Path(ROOT / page)))
    assert re.findall(r"\d\S*", text) == []
