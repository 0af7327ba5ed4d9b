"""The compiled kernels against the tensors, bit for bit, and what is done where they are missing.

Seeded; the two ways share nothing but the list of templates, so nothing here can fail by chance.
"""

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from evaluators import Hashed
from test_connections import random_boards, random_play

import hex_ai
from hex_ai.compilation import has_numba
from hex_ai.game import compiled
from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.threats import Verdicts, resolve
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.puct import edge_tables
from hex_ai.puct.search import PuctSearch, PuctSettings, make_ready

Share = Callable[[int, int], int]
CPU = torch.device("cpu")


@pytest.fixture
def numba() -> Iterator[None]:
    pytest.importorskip("numba")
    has_numba.cache_clear()
    yield
    has_numba.cache_clear()


def boards(size: int, count: int) -> Positions:
    """Boards from nearly empty to full, games of random play, and games that ended early."""
    drawn = random_boards(size, count, 50 + size, CPU)
    played = random_play(size, max(1, count // size**2), 50 + size, CPU)
    drawn = drawn if not len(played) else Positions.cat([drawn, played])
    return drawn.retire(torch.arange(len(drawn)) % 7 == 3)


def by_tensors(positions: Positions, monkeypatch: pytest.MonkeyPatch) -> tuple[Verdicts, object]:
    with monkeypatch.context() as patched:
        patched.setattr("hex_ai.game.compiled.usable", lambda device: False)
        return resolve(positions), opponent_has_won(positions)


@pytest.mark.parametrize("size", range(1, 20))
def test_kernels_say_what_the_tensors_say(
    size: int, share: Share, numba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = boards(size, share(200, 5000))
    expected, lost = by_tensors(positions, monkeypatch)
    found = resolve(positions)
    for field in fields(Verdicts):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert one.dtype == other.dtype
        assert torch.equal(one, other), field.name
    assert torch.equal(opponent_has_won(positions), lost)
    if size > 2:
        assert {*expected.proven.tolist()} == {-1, 0, +1}


@pytest.mark.parametrize("size", range(1, 20))
def test_kernels_play_as_the_tensors_do(size: int, share: Share, numba: None) -> None:
    positions = boards(size, share(100, 3000))
    draws = torch.rand(len(positions), size**2, generator=torch.Generator().manual_seed(size))
    moves = draws.masked_fill(~positions.legal_moves(), -1.0).argmax(1)
    expected, found = positions.play(moves), compiled.play(positions, moves)
    assert found.labels.dtype == expected.labels.dtype
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.blue_to_move, expected.blue_to_move)
    assert torch.equal(found.finished, expected.finished)
    if size < 10:
        assert int(expected.finished.sum()) > int(positions.finished.sum())


def test_kernels_choose_and_average_as_python_does(numba: None) -> None:
    """Bit for bit: a product and a sum made in one step would round otherwise."""
    draw = np.random.default_rng(1)
    chosen = set()
    for moves in [*range(40), *range(40, 362, 7)]:
        table = np.zeros((5, moves + draw.integers(5)))
        table[:2, :moves] = draw.integers(0, 5, (2, moves))
        table[2:4, :moves] = draw.uniform(-1, 1, (2, moves)).astype(np.float32)
        table[4, :moves] = draw.random(moves) < 0.8
        scale, value, unseen = map(float, draw.uniform(0, 2, 3))
        for limit in (unseen - 1, -math.inf):
            asked = (table, moves, scale, value, limit)
            best = edge_tables.best_move(*asked)
            assert edge_kernels().best_move(*asked) == best
            chosen.add(min(best, 1))
        mean = edge_tables.mean_value(table, moves, value)
        assert edge_kernels().mean_value(table, moves, value) == mean
    assert chosen == {-1, 0, 1}


def edge_kernels() -> ModuleType:
    return importlib.import_module("hex_ai.puct.kernels")


def game_kernels() -> ModuleType:
    return importlib.import_module("hex_ai.game.kernels")


def test_a_search_answers_the_same_without_numba(
    numba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Games from move to move, of several sizes, with trees that outgrow their room.

    But for H-search, which runs only where numba is.
    """
    monkeypatch.setattr(PuctSearch, "_study", lambda search, nodes: None)

    def answers() -> list[object]:
        has_numba.cache_clear()
        edge_tables.functions.cache_clear()
        found: list[object] = []
        for size, nodes in ((4, 1000), (6, 40), (9, 1000)):
            roots = Positions.empty(2, size).play(torch.tensor([0, size + 1]))
            settings = PuctSettings(max_nodes=nodes)
            search = PuctSearch(roots, PositionCollector(Hashed(size)), settings)
            for evaluations in (120, 30):
                result = search.search(evaluations=evaluations)
                found += [result.moves.tolist(), result.values.tolist(), result.lines]
                found += [result.visits.tolist(), result.proven.tolist()]
                found.append(result.move_values.nan_to_num(9.0).tolist())
                search.advance(result.moves)
        return found

    compiled_ones = answers()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "numba", None)
        assert answers() == compiled_ones
    edge_tables.functions.cache_clear()


@pytest.mark.parametrize("rows", [slice(0, 0), slice(3, 40, 3), slice(5, 6)])
def test_kernels_take_any_rows_and_leave_the_positions_as_they_are(
    rows: slice, numba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = boards(7, 100)[rows]
    before = positions.labels.clone(), positions.finished.clone()
    expected, lost = by_tensors(positions, monkeypatch)
    found = resolve(positions)
    assert all(
        torch.equal(getattr(found, field.name), getattr(expected, field.name))
        for field in fields(Verdicts)
    )
    assert torch.equal(opponent_has_won(positions), lost)
    assert torch.equal(positions.labels, before[0])
    assert torch.equal(positions.finished, before[1])


def test_without_numba_the_tensors_answer(numba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = boards(5, 50)
    expected = resolve(positions)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "numba", None)
        has_numba.cache_clear()
        assert not compiled.usable(CPU)
        found = resolve(positions)
    assert torch.equal(found.must, expected.must)


def test_only_the_cpu_has_kernels(numba: None) -> None:
    assert compiled.usable(CPU)
    assert not compiled.usable(torch.device("cuda"))
    assert not compiled.usable(torch.device("meta"))


def test_no_kernel_is_left_to_be_loaded_once_a_search_is_ready(numba: None) -> None:
    """Whatever a search calls then has been compiled for its very types."""
    make_ready(CPU)
    kernels = [edge_kernels().best_move, edge_kernels().mean_value]
    kernels += [game_kernels().verdicts, importlib.import_module("hex_ai.game.play_kernel").play]
    kernels += [importlib.import_module("hex_ai.game.hsearch_kernels").verdicts]
    before = [len(one.signatures) for one in kernels]
    search = PuctSearch(Positions.empty(2, 7), PositionCollector(Hashed(1)))
    moves = search.search(evaluations=90).moves
    assert search.trees[0].root.studied
    search.advance(moves)
    search.search(evaluations=5)
    assert [len(one.signatures) for one in kernels] == before == [1, 1, 1, 1, 1]


def run(code: str, **settings: str) -> str:
    """What Python code prints in a process of its own."""
    settings = dict(os.environ) | settings
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_numba_is_imported_by_the_first_proof_alone(numba: None) -> None:
    code = """
import sys
import hex_ai.htp.chooser, hex_ai.cli.main, hex_ai.selfplay.game_batch
from hex_ai import PuctSearch
print("numba" in sys.modules)
"""
    assert run(code) == "False"


SMALL_KERNEL = """
from hex_ai.compilation import kernel

@kernel
def twice(number):
    return 2 * number
"""
CALLED = """
from small_kernel import twice
print(twice(4), sum(twice.stats.cache_misses.values()), twice.stats.cache_path)
"""


@pytest.fixture
def folder(tmp_path: Path, numba: None) -> Path:
    (tmp_path / "small_kernel.py").write_text(SMALL_KERNEL, encoding="utf-8")
    return tmp_path


def called(folder: Path, code: str = "", **settings: str) -> list[str]:
    """A kernel in a process of its own: its answer, how often it was compiled, where it is kept."""
    package = str(Path(hex_ai.__file__).parent.parent)
    return run(code + CALLED, PYTHONPATH=f"{package}:{folder}", **settings).split()


def test_compiled_code_is_kept_where_the_user_says(folder: Path) -> None:
    wanted = folder / "kept"
    for misses in ("1", "0"):
        answer, missed, path = called(folder, NUMBA_CACHE_DIR=str(wanted))
        assert (answer, missed, Path(path).parent) == ("8", misses, wanted)
    assert list(wanted.glob("*/*.nbc"))


def test_a_folder_that_cannot_be_written_is_passed_over(folder: Path) -> None:
    (folder / "file").touch()
    _, _, path = called(folder, NUMBA_CACHE_DIR=str(folder / "file" / "none"))
    assert Path(path) == folder / "__pycache__"
    nowhere = "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\n"
    assert called(folder, nowhere) == ["8", "1", "None"]
