"""The cache of evaluations and the hashes by which it knows positions.

Every random test is seeded. Hashes have 64 bits: that n of them collide by chance, were the seeds
drawn anew, has odds of n² / 2^65, below 1e-8 for every test here.
"""

import itertools
from collections.abc import Callable

import pytest
import torch
from inference_toys import HashNetwork, hashed, random_network, random_positions, seeded, turn
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.evaluation_cache import (
    EvaluationCache,
    Oriented,
    _codes,
    _hashes,
    first_equals,
    orient,
)
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.keyed_random import CACHE_CHECK_SEED, CACHE_KEY_SEED

Share = Callable[[int, int], int]


def evaluation_of(keys: Tensor, checks: Tensor) -> tuple[Tensor, Tensor]:
    """What is stored for a key and a check: every number names both."""
    return hashed(keys * 1_000_003 + checks, 9)


@pytest.mark.parametrize("capacity", [1, 2, 7, 64])
def test_the_table_holds_the_last_whole_row_written_to_each_slot(
    capacity: int, device: torch.device, share: Share
) -> None:
    """Against a dictionary: batches of rows that fight for slots, keys with several checks."""
    cache = EvaluationCache(capacity, 9, device)
    generator = seeded(capacity)
    spread = torch.randint(-(2**62), 2**62, (40,), generator=generator)
    stock = torch.cat([torch.arange(-40, 40), spread])
    universe = torch.cartesian_prod(stock, torch.tensor([5, -6])).to(device)
    table: dict[int, tuple[int, int]] = {}
    for _ in range(share(400, 5000)):
        length = int(torch.randint(1, 40, (1,), generator=generator))
        rows = torch.randint(0, len(universe), (length,), generator=generator)
        keys, checks = universe[rows.to(device)].unbind(1)
        cache.write(keys, checks, *evaluation_of(keys, checks))
        for key, check in zip(keys.tolist(), checks.tolist(), strict=True):
            table[key % capacity] = key, check
        known, slots = cache.find(*universe.unbind(1))
        assert {tuple(row) for row in universe[known].tolist()} == set(table.values())
        logits, values = cache.read(slots[known])
        right_logits, right_values = evaluation_of(*universe[known].unbind(1))
        assert torch.equal(logits, right_logits)
        assert torch.equal(values, right_values)


class WrittenOnce:
    """Stands for a tensor of the table, and lets no write name a slot twice but the spare one.

    Which of two rows wins there is not defined, and need not be the same in the other tensors.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __getitem__(self, slots: Tensor) -> Tensor:
        return self._tensor[slots]

    def __setitem__(self, slots: Tensor, rows: Tensor) -> None:
        kept = slots[slots != len(self._tensor) - 1].tolist()
        assert len(kept) == len(set(kept))
        self._tensor[slots] = rows


@pytest.mark.parametrize("capacity", [1, 2, 7, 64])
def test_no_slot_is_written_twice_at_once(capacity: int, device: torch.device) -> None:
    cache = EvaluationCache(capacity, 9, device)
    for name in ("_keys", "_checks", "_logits", "_values"):
        setattr(cache, name, WrittenOnce(getattr(cache, name)))
    keys = torch.randint(-50, 50, (200,), generator=seeded(1)).to(device)
    cache.write(keys, keys, *evaluation_of(keys, keys))
    assert bool(cache.find(keys[-1:], keys[-1:])[0])


def test_equal_rows_are_found_and_only_those(device: torch.device) -> None:
    """Keys may collide; then the checks decide."""
    generator = seeded(3)
    for kinds in (1, 2, 5, 50):
        keys = torch.randint(-kinds, kinds, (60,), generator=generator).to(device)
        keys = keys.masked_fill(keys == 0, kinds)  # 0 stands for rows that are not live
        for checks in (keys * 7, torch.randint(-2, 2, (60,), generator=generator).to(device)):
            live = torch.rand(60, generator=generator).to(device) < 0.8
            asked = Oriented(keys, keys, keys, checks)  # only keys and checks are looked at
            owner = first_equals(asked, live)
            assert torch.equal(keys[owner][live], keys[live])
            assert torch.equal(checks[owner][live], checks[live])
            assert bool(live[owner][live].all())
            if torch.equal(checks, keys * 7):
                assert owner[live].unique().numel() == distinct(keys[live])


def test_an_empty_table_knows_nothing(device: torch.device) -> None:
    cache = EvaluationCache(8, 9, device)
    keys = torch.arange(-100, 100, device=device)
    for check in (-1, 1):
        assert not bool(cache.find(keys, torch.full_like(keys, check))[0].any())
    zero = torch.zeros(1, dtype=torch.int64, device=device)
    assert not bool(cache.find(zero + 8, zero)[0].any())


def test_memory_is_taken_once(device: torch.device) -> None:
    cache = EvaluationCache(100, 9, device)

    def places() -> dict[str, tuple[int, int]]:
        tensors = {name: part for name, part in vars(cache).items() if isinstance(part, Tensor)}
        return {name: (part.data_ptr(), part.nbytes) for name, part in tensors.items()}

    before = places()
    generator = seeded(1)
    for _ in range(20):
        keys = torch.randint(-(2**62), 2**62, (300,), generator=generator).to(device)
        cache.write(keys, keys, *evaluation_of(keys, keys))
    assert places() == before
    entry = 4 * 9 + 28
    assert sum(size for _, size in before.values()) == entry * 101


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize("cache_size", [1, 2, 7, 50])
def test_a_tiny_cache_never_gives_another_positions_evaluation(
    cache_size: int, deduplicate: bool, device: torch.device, share: Share
) -> None:
    plan = default_plan(device, runtime="eager", precision="float32")
    model = ModelInference(HashNetwork(), plan, cache_size=cache_size, deduplicate=deduplicate)
    plain = ModelInference(HashNetwork(), plan, cache_size=0, deduplicate=False)
    stock = random_positions(60, 4, 1, device)
    expected = plain.batch_infer(stock)
    generator = seeded(2)
    for _ in range(share(100, 2000)):
        length = int(torch.randint(1, 60, (1,), generator=generator))
        rows = torch.randint(0, 60, (length,), generator=generator).to(device)
        logits, values = model.batch_infer(stock[rows])
        assert torch.equal(logits, expected[0][rows])
        assert torch.equal(values, expected[1][rows])
    stats = model.stats
    assert stats.cache_hits > 0
    assert stats.requests == stats.evaluations + stats.cache_hits + stats.duplicate_hits


def test_answers_from_the_cache_have_the_bits_of_an_evaluation(device: torch.device) -> None:
    plan = default_plan(device, runtime="eager", precision="bfloat16")
    model = ModelInference(random_network(1), plan, cache_size=100_000)
    model.prepare(5)
    positions = random_positions(50, 5, 3, device)
    first = model.batch_infer(positions)
    calls = model.stats.network_calls
    again = model.batch_infer(positions)
    assert model.stats.network_calls == calls
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    turned = model.batch_infer(turn(positions))
    assert torch.equal(first[1], turned[1])
    assert model.stats.network_calls == calls


def test_board_sizes_do_not_mix(device: torch.device) -> None:
    plan = default_plan(device, runtime="eager", precision="float32")
    model = ModelInference(HashNetwork(), plan, cache_size=7)
    plain = ModelInference(HashNetwork(), plan, cache_size=0)
    for seed, size in enumerate((3, 4, 3, 1, 5, 4, 4, 11, 3)):
        positions = random_positions(20, size, seed % 2, device)
        for _ in range(2):
            logits, values = model.batch_infer(positions)
            right_logits, right_values = plain.batch_infer(positions)
            assert torch.equal(logits, right_logits)
            assert torch.equal(values, right_values)


def with_stones(stones: Tensor) -> Positions:
    """Positions that show these stones `[B, N, N]`, whatever the rules say of them."""
    empty = Positions.empty(len(stones), stones.shape[1], stones.device)
    labels = empty.labels.clone()
    labels[:, 1:-1, 1:-1] = stones
    return Positions(labels, empty.blue_to_move, empty.finished)


def distinct(numbers: Tensor) -> int:
    return len(set(numbers.flatten().tolist()))


@pytest.mark.parametrize(("size", "rows"), [(6, 150_000), (11, 20_000), (19, 5_000)])
def test_random_positions_do_not_collide(
    size: int, rows: int, device: torch.device, share: Share
) -> None:
    rows *= share(1, 10)
    keys, checks = [], []
    generator = seeded(size)
    for _ in range(0, rows, 5_000):
        stones = torch.randint(-1, 2, (5_000, size, size), generator=generator)
        oriented = orient(with_stones(stones.to(device)))
        keys.append(oriented.keys)
        checks.append(oriented.checks)
    assert distinct(torch.cat(keys)) == distinct(torch.cat(checks)) == rows
    slots = torch.cat(keys).remainder(100).bincount(minlength=100)
    # Poisson of mean 50 or more: twice the mean is 7 sigma, for 100 slots odds below 1e-7.
    assert int(slots.max()) < 2 * rows / 100


def test_all_positions_of_3x3_have_their_own_hash_up_to_the_turn(device: torch.device) -> None:
    cells = torch.cartesian_prod(*[torch.tensor([-1, 0, 1])] * 9).view(-1, 3, 3).to(device)
    oriented = orient(with_stones(cells))
    kinds = (3**9 + 3**5) // 2  # 3^5 positions are their own turn
    assert distinct(oriented.keys) == distinct(oriented.checks) == kinds
    assert not torch.equal(oriented.keys, oriented.checks)
    turned = orient(with_stones(cells.flip(1, 2)))
    assert torch.equal(oriented.keys, turned.keys)
    assert torch.equal(oriented.checks, turned.checks)
    assert torch.equal(oriented.planes, turned.planes)
    itself = (cells == cells.flip(1, 2)).flatten(1).all(1)
    assert torch.equal(oriented.rotated ^ turned.rotated, ~itself)


def test_boards_of_other_sizes_have_other_hashes(device: torch.device) -> None:
    """All boards with one stone, and with two, of every size but for turns."""
    keys, kinds = [], 0
    for size in range(2, 10):
        cells = size * size
        places = torch.tensor(
            [(a, b) for a, b in itertools.product(range(cells), repeat=2) if a <= b]
        ).to(device)
        for first, second in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            stones = torch.zeros(len(places), cells, dtype=torch.int64, device=device)
            stones.scatter_(1, places[:, :1], first).scatter_(1, places[:, 1:], second)
            keys.append(orient(with_stones(stones.view(-1, size, size))).keys)
        kinds += kinds_with_one_or_two_stones(cells)
    assert distinct(torch.cat(keys)) == kinds


def kinds_with_one_or_two_stones(cells: int) -> int:
    """By Burnside: half of the positions and of those that are their own turn."""
    one, two = 2 * cells, 4 * cells * (cells - 1) // 2
    centre, pairs = 2 * (cells % 2), 2 * (cells // 2)
    return (one + centre + two + pairs) // 2


@pytest.mark.parametrize("size", [1, 2, 11, 19])
def test_the_empty_board_is_not_taken_for_an_empty_slot(size: int, device: torch.device) -> None:
    oriented = orient(Positions.empty(1, size, device))
    assert oriented.keys.item() != 0
    assert oriented.checks.item() != 0
    assert not oriented.rotated.item()


@pytest.mark.parametrize("size", [5, 19])
def test_a_hash_is_the_sum_of_the_codes_of_the_stones(size: int, device: torch.device) -> None:
    """Summed one stone at a time, modulo 2^64, from a hash of the empty board that is not 0."""
    empty = int(_hashes(torch.zeros(1, size, size, dtype=torch.int8, device=device))[0, 0])
    assert empty != 0
    stones = torch.randint(-1, 2, (20, size, size), generator=seeded(size)).to(device)
    stones[0], stones[1] = 1, -1
    for column, seed in ((0, CACHE_KEY_SEED), (2, CACHE_CHECK_SEED)):
        mine, theirs = _codes(seed, size, device).tolist()
        assert len({*mine, *theirs}) == 2 * size**2
        for turned in (0, 1):
            seen = stones.flip(1, 2) if turned else stones
            sums = [
                sum(
                    m if s > 0 else t if s < 0 else 0
                    for s, m, t in zip(b, mine, theirs, strict=True)
                )
                for b in seen.flatten(1).tolist()
            ]
            hashes = _hashes(stones)[:, column + turned].tolist()
            assert [(h - s - empty) % 2**64 for h, s in zip(hashes, sums, strict=True)] == [0] * 20
