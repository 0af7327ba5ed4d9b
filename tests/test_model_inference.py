"""`ModelInference`: an evaluation is a function of the position, bit for bit, and work is counted.

Every random test is seeded and compares exactly, but where it says otherwise: none fails by chance.
"""

import itertools
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from inference_toys import HashNetwork, random_network, random_positions, seeded, turn
from torch import Tensor

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan, default_plan, has_compiler
from hex_ai.inference.model_inference import ModelInference

Share = Callable[[int, int], int]
Evaluation = tuple[Tensor, Tensor]


def eager(device: torch.device, precision: str = "float32") -> InferencePlan:
    return default_plan(device, runtime="eager", precision=precision)


def exact(
    network: HashNetwork,
    device: torch.device,
    shapes: tuple[int, ...] = (8, 32, 128),
    cache_size: int = 0,
    deduplicate: bool = False,
) -> ModelInference:
    plan = eager(device).with_shapes(shapes)
    return ModelInference(network, plan, cache_size=cache_size, deduplicate=deduplicate)


def assert_same(one: Evaluation, other: Evaluation) -> None:
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def rows_of(evaluation: Evaluation, rows: Tensor) -> Evaluation:
    return evaluation[0][rows], evaluation[1][rows]


def alone(model: ModelInference, positions: Positions) -> Evaluation:
    """Each position evaluated by a call of its own."""
    answers = [model.batch_infer(positions[row : row + 1]) for row in range(len(positions))]
    return torch.cat([logits for logits, _ in answers]), torch.cat([v for _, v in answers])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [3, 5, 11])
def test_an_evaluation_does_not_depend_on_its_neighbours(
    size: int, precision: str, device: torch.device, share: Share
) -> None:
    """Batches of 1 to 40 rows, so padding of every size; with and without either saving."""
    network = random_network(size)
    single = ModelInference(deepcopy(network), eager(device, precision), cache_size=0)
    plan = single.prepare(size)
    positions = random_positions(60, size, size, device)
    expected = alone(single, positions)
    assert len(set(expected[1].tolist())) > 10
    lengths = range(1, 41) if size < 11 else range(1, 41, share(5, 1))
    for cache_size, deduplicate in itertools.product((0, 1000), (False, True)):
        model = ModelInference(
            deepcopy(network), plan, cache_size=cache_size, deduplicate=deduplicate
        )
        generator = seeded(size)
        for length in lengths:
            rows = torch.randint(0, 60, (length,), generator=generator).to(device)
            assert_same(model.batch_infer(positions[rows]), rows_of(expected, rows))


def test_an_evaluation_is_the_networks_on_the_turned_or_the_straight_planes(
    device: torch.device,
) -> None:
    """To 1e-5: the norms are folded, so the sums differ in the last bits."""
    network = random_network(1).to(device)
    model = ModelInference(deepcopy(network), eager(device), cache_size=0)
    positions = random_positions(100, 5, 1, device)
    logits, values = model.batch_infer(positions)
    with torch.no_grad():
        straight, straight_values = network(positions.planes())
        turned, turned_values = network(positions.planes().flip(2, 3))
    as_straight = distance((logits, values), (straight, straight_values))
    as_turned = distance((logits, values), (turned.flip(1), turned_values))
    assert float(torch.minimum(as_straight, as_turned).max()) < 1e-5
    assert 20 < int((as_turned < as_straight).sum()) < 80, "both must come"


def distance(one: Evaluation, other: Evaluation) -> Tensor:
    return torch.maximum((one[0] - other[0]).abs().amax(1), (one[1] - other[1]).abs())


@pytest.mark.parametrize("size", [2, 3, 5, 11])
def test_a_position_and_its_turn_are_evaluated_alike(size: int, device: torch.device) -> None:
    positions = random_positions(60, size, 2, device)
    stones = positions.stones()
    differ = (stones != stones.flip(1, 2)).flatten(1).any(1)
    positions = positions[differ]
    model = ModelInference(random_network(2), eager(device), cache_size=0)
    model.prepare(size)
    logits, values = model.batch_infer(positions)
    assert_same(model.batch_infer(turn(positions)), (logits.flip(1), values))
    assert_same(model.batch_infer(positions), (logits, values))


def test_equal_positions_are_evaluated_once(device: torch.device) -> None:
    """The turn, the twin with colours and edges exchanged, and the same stones in other order."""
    first, other = (
        play(cells, device) for cells in ([0, 1, 2, 7, 6, 13, 12], [12, 1, 6, 13, 2, 7, 0])
    )
    twin = Positions.from_stones(-first.board().mT, ~first.blue_to_move)
    assert not torch.equal(first.board(), twin.board())
    same = Positions.cat([first, other, twin, turn(first), turn(twin)])
    network = HashNetwork()
    model = exact(network, device, cache_size=100, deduplicate=True)
    logits, values = model.batch_infer(same)
    assert len(set(values.tolist())) == 1
    assert all(torch.equal(logits[0], row) for row in (logits[1], logits[2]))
    assert all(torch.equal(logits[0].flip(0), row) for row in (logits[3], logits[4]))
    assert (model.stats.evaluations, model.stats.duplicate_hits) == (1, 4)
    assert_same(alone(model, same), (logits, values))
    assert (model.stats.evaluations, model.stats.cache_hits) == (1, 5)
    assert network.calls == [8]


def play(cells: list[int], device: torch.device) -> Positions:
    positions = Positions.empty(1, 5, device)
    for cell in cells:
        moves = torch.tensor([cell], device=device)
        positions.require_legal(moves)
        positions = positions.play(moves)
    return positions


@pytest.mark.parametrize(("cache_size", "deduplicate"), [(0, False), (100, True)])
def test_finished_positions_are_no_requests(
    cache_size: int, deduplicate: bool, device: torch.device
) -> None:
    network = HashNetwork()
    model = exact(network, device, cache_size=cache_size, deduplicate=deduplicate)
    positions = random_positions(30, 4, 3, device)
    finished = torch.arange(30, device=device) % 3 == 1
    expected = model.batch_infer(positions)
    before = model.stats.requests
    logits, values = model.batch_infer(positions.retire(finished))
    assert torch.equal(logits, expected[0].masked_fill(finished[:, None], 0.0))
    assert torch.equal(values, expected[1].masked_fill(finished, -1.0))
    assert model.stats.requests - before == 20
    requests, evaluations, calls = model.stats.requests, model.stats.evaluations, len(network.calls)
    logits, values = model.batch_infer(positions.retire(torch.ones_like(finished)))
    assert logits.shape == (30, 16)
    assert not bool(logits.any())
    assert bool((values == -1).all())
    assert (model.stats.requests, model.stats.evaluations) == (requests, evaluations)
    unseen = cache_size == 0 and device.type != "cpu"
    assert len(network.calls) == calls + unseen, "without savings nobody waits to look"


def test_answers_have_the_promised_form(device: torch.device) -> None:
    model = ModelInference(random_network(1), eager(device, "bfloat16"))
    for size in (1, 4):
        logits, values = model.batch_infer(Positions.empty(3, size, device))
        assert (logits.shape, values.shape) == ((3, size * size), (3,))
        assert logits.dtype == values.dtype == torch.float32
        assert logits.device.type == values.device.type == device.type
        assert not logits.requires_grad


def test_simple_infer_is_a_batch_of_one(device: torch.device) -> None:
    model = exact(HashNetwork(), device)
    position = random_positions(1, 4, 1, device)
    logits, value = model.simple_infer(position)
    batch_logits, batch_values = model.batch_infer(position)
    assert torch.equal(logits, batch_logits[0])
    assert isinstance(value, float)
    assert value == batch_values.item()


def test_batches_that_are_none_are_refused(device: torch.device) -> None:
    model = exact(HashNetwork(), device)
    with pytest.raises(ShapeError, match="no positions"):
        model.batch_infer(Positions.empty(0, 4, device))
    for wrong in (0, 2):
        with pytest.raises(ShapeError, match=str(wrong)):
            model.simple_infer(Positions.empty(wrong, 4, device))
    with pytest.raises(SettingError, match="-1"):
        ModelInference(HashNetwork(), eager(device), cache_size=-1)


def kinds(positions: Positions) -> list[bytes]:
    """A name for each position, the same for its 180° turn."""
    stones = positions.stones().cpu()
    names = zip(stones.numpy(), stones.flip(1, 2).numpy(), strict=True)
    return [min(one.tobytes(), other.tobytes()) for one, other in names]


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize("cache_size", [0, 100_000])
def test_the_counts_are_those_of_a_recount(
    cache_size: int, deduplicate: bool, device: torch.device
) -> None:
    """A cache so large that, of 100 kinds, none shares a slot with another by these seeds."""
    network = HashNetwork()
    model = exact(network, device, cache_size=cache_size, deduplicate=deduplicate)
    stock = random_positions(100, 4, 4, device)
    known: set[bytes] = set()
    requests = evaluations = cached = 0
    generator = seeded(1)
    for length in [*range(1, 40), 95, 96, 97, 200, 300]:
        rows = torch.randint(0, 100, (length,), generator=generator).to(device)
        asked = kinds(stock[rows])
        model.batch_infer(stock[rows])
        requests += length
        looked_up = sorted(set(asked)) if deduplicate else asked
        missing = [kind for kind in looked_up if kind not in known]
        cached += len(looked_up) - len(missing)
        evaluations += len(missing)
        known |= set(asked) if cache_size else set()
    stats = model.get_performance_stats()
    duplicates = requests - cached - evaluations
    counted = [stats[name] for name in ("requests", "evaluations", "cache_hits", "duplicate_hits")]
    assert counted == [requests, evaluations, cached, duplicates]
    assert (duplicates > 0) == deduplicate
    assert stats["network_calls"] == len(network.calls)
    assert stats["padding_rows"] == sum(network.calls) - evaluations
    assert stats["mean_batch"] == evaluations / len(network.calls)
    assert stats["padding_efficiency"] == evaluations / sum(network.calls)
    assert stats["hit_rate"] == (cached + duplicates) / requests
    assert stats["work_saved"] == requests / evaluations
    assert stats["network_seconds"] > 0


def test_rates_of_nothing_are_null(device: torch.device) -> None:
    stats = exact(HashNetwork(), device).get_performance_stats()
    rates = ("mean_batch", "padding_efficiency", "hit_rate", "work_saved")
    assert [stats[name] for name in rates] == [None] * 4
    assert stats["requests"] == 0


@pytest.mark.parametrize("shapes", [(1,), (7,), (8, 32, 128), (1, 2, 3, 4, 100)])
def test_the_network_is_only_given_shapes_of_the_plan(
    shapes: tuple[int, ...], device: torch.device
) -> None:
    network = HashNetwork()
    model = exact(network, device, shapes)
    positions = random_positions(150, 4, 5, device)
    expected = exact(HashNetwork(), device, (150,)).batch_infer(positions)
    for length in [*range(1, 45), 95, 96, 127, 128, 129, 150]:
        network.calls.clear()
        answer = model.batch_infer(positions[:length])
        assert_same(answer, (expected[0][:length], expected[1][:length]))
        assert set(network.calls) <= set(shapes)
        assert length <= sum(network.calls) < length + max(shapes[0], length / 2)


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler")
def test_the_compiled_network_gives_what_the_eager_one_gives(device: torch.device) -> None:
    """To 1e-4: the compiler fuses and reorders sums."""
    network = random_network(8, 8, 1)
    plan = default_plan(device, runtime="compiled", precision="float32").with_shapes((4,))
    expected = ModelInference(deepcopy(network), eager(device)).batch_infer
    model = ModelInference(network, plan, cache_size=0)
    assert model.prepare(3).runtime == "compiled"
    positions = random_positions(9, 3, 8, device)
    logits, values = model.batch_infer(positions)
    torch.testing.assert_close((logits, values), expected(positions), rtol=0, atol=1e-4)
    assert_same(alone(model, positions), (logits, values))
