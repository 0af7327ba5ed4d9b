"""H-search against the exact solver, alone and in the search for play: whatever it says is so.

Seeded; a wrong answer is a wrong proof, so nothing here can fail by chance.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from evaluators import Hashed, random_roots
from test_puct import assert_sound, fields, searched
from test_threats import filled, require_proofs_hold, winners

from hex_ai.game.threats import Verdicts, resolve
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.puct.search import PuctSearch
from hex_ai.puct.tree import PuctTree

pytest.importorskip("numba")

from hex_ai.game.hsearch import HSearch

Share = Callable[[int, int], int]
CPU = torch.device("cpu")
FIELDS = ("proven", "carriers", "must", "threats", "moves")


@pytest.mark.parametrize("size", [3, 4])
def test_proofs_hold_wherever_the_loser_has_all_cells_but_the_carrier(
    size: int, share: Share
) -> None:
    positions = random_roots(share(400, 4000), size, 20 + size, CPU)
    require_proofs_hold(positions, HSearch(size).resolve(positions))


@pytest.mark.parametrize("size", [3, 4])
def test_winning_moves_win_and_moves_ruled_out_lose(size: int, share: Share) -> None:
    positions = random_roots(share({3: 300, 4: 60}[size], 3000), size, 30 + size, CPU)
    found = HSearch(size).resolve(positions)
    won = found.proven == 1
    assert (winners(positions[won].play(found.moves[won])) == -1).all()
    ruled_out = positions.legal_moves() & ~found.must & (found.proven == 0)[:, None]
    assert ruled_out.any()
    rows, cells = ruled_out.nonzero().T
    played = positions[rows].play(cells)
    # Within the threats alone they lose: the rest of the board may be the mover's.
    outside = positions.legal_moves()[rows] & ~found.threats[rows]
    transposed = outside.view(-1, size, size).mT.flatten(1) & played.legal_moves()
    assert (winners(filled(played, transposed, -1)) == 1).all()


def test_it_proves_more_than_chains_and_threats() -> None:
    positions = random_roots(200, 7, 0, CPU)
    proven = HSearch(7).resolve(positions).proven
    known = resolve(positions).proven
    assert ((proven == known) | (known == 0) | (proven == 0)).all()
    assert (proven != 0).sum() > 1.1 * (known != 0).sum()


def same(one: Verdicts, other: Verdicts, rows: slice) -> bool:
    return all(torch.equal(getattr(one, name)[rows], getattr(other, name)) for name in FIELDS)


@pytest.mark.parametrize("size", [5, 11])
def test_each_answer_depends_on_its_own_row_alone(size: int) -> None:
    positions = random_roots(20, size, 1, CPU)
    search = HSearch(size)
    whole = search.resolve(positions)
    labels = positions.labels.clone()
    for row in reversed(range(20)):
        alone = slice(row, row + 1)
        assert same(whole, search.resolve(positions[alone]), alone)
        assert same(whole, HSearch(size).resolve(positions[alone]), alone)
    assert torch.equal(positions.labels, labels)


def test_proofs_inside_a_tree_that_studies_every_node_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hex_ai.puct.search.STUDY_VISITS", 1)
    search = PuctSearch(random_roots(60, 4, 5, CPU), PositionCollector(Hashed(8)))
    search.search(evaluations=1000)
    nodes = [node for tree in search.trees for node in tree.nodes.values()]
    assert sum(node.studied for node in nodes) > 10
    assert sum(assert_sound(node, 4) for node in nodes) > 50


def test_a_game_is_studied_alike_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hex_ai.puct.search.STUDY_VISITS", 5)
    roots = random_roots(12, 7, 2, CPU)
    together = searched(roots, Hashed(1), 60)
    for row in range(12):
        assert fields(searched(roots[row : row + 1], Hashed(1), 60), 0) == fields(together, row)


def test_more_is_proven_with_as_many_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = random_roots(24, 7, 4, CPU)
    studied = searched(roots, Hashed(1), 100)
    monkeypatch.setattr("hex_ai.puct.search.STUDY_VISITS", 10**9)
    plain = searched(roots, Hashed(1), 100)
    assert (studied.proven != 0).sum() > (plain.proven != 0).sum()
    assert int(studied.evaluations.max()) == 100


def tree_with_a_reply() -> PuctTree:
    """The root, of four legal moves, and the first of them looked at."""
    tree = PuctTree((0, 0))
    shares = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
    for must in (0b1111, 0b1110):
        descent = tree.descend()
        tree.judge(descent.leaf, 0, carrier=0, must=must, threats=0, move=-1)
        tree.evaluate(descent.leaf, np.arange(4, dtype=np.int16), shares, 0.5)
        tree.end(descent, counted=True)
    return tree


def test_what_is_learnt_of_a_node_spreads_to_the_root() -> None:
    tree = tree_with_a_reply()
    tree.learn(tree.root.edges[0].child, -1, carrier=0b0110, must=0, threats=0, move=-1)
    assert (tree.root.proof, tree.root.move, tree.root.carrier) == (1, 0, 0b0111)


def test_moves_that_are_ruled_out_later_are_not_looked_at_again() -> None:
    tree = tree_with_a_reply()
    tree.learn(tree.root, 0, carrier=0, must=0b1100, threats=0b1100, move=-1)
    assert tree.root.must == 0b1100
    assert tree.descend().path[0].cell == 2
    tree.learn(tree.root, 0, carrier=0, must=0b0011, threats=0b0011, move=-1)
    assert (tree.root.proof, tree.root.carrier, tree.root.value) == (-1, 0b1111, -1.0)
