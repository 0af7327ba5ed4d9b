"""What the host reads from the device, and that every tensor of a ply lives there.

Reads are counted on the CPU, where they cost nothing, by the operations that would make the host
wait for a GPU. That no tensor is on the wrong device is shown with meta tensors, which have a
shape and a type but no numbers.
"""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from inference_toys import HashNetwork, random_network
from read_counter import CopyCounter, OneDevice, ReadCounter
from torch import Tensor, nn

from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.records import STOPS
from hex_ai.inference.evaluation_cache import orient
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.keyed_random import gumbel_noise
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.openings import OPENINGS
from hex_ai.selfplay.settings import SelfPlaySettings

META = torch.device("meta")


def model(cache_size: int, deduplicate: bool, device: str = "cpu") -> ModelInference:
    plan = InferencePlan(device, "eager", "float32", (8, 32), 1)
    return ModelInference(HashNetwork(), plan, cache_size=cache_size, deduplicate=deduplicate)


@pytest.mark.parametrize(
    ("cache_size", "deduplicate", "reads_a_level"),
    [(0, False, 0), (0, True, 1), (1000, False, 1), (1000, True, 1)],
)
@pytest.mark.parametrize("widths", [(3, 2), (8, 4), (2, 2, 2)])
def test_a_search_reads_at_most_once_a_level(
    cache_size: int, deduplicate: bool, reads_a_level: int, widths: tuple[int, ...]
) -> None:
    roots = Positions.empty(20, 5)
    ids = torch.arange(20)
    noise = gumbel_noise(1, ids, torch.zeros_like(ids), 25)
    asked = model(cache_size, deduplicate)
    for _ in range(2):
        with ReadCounter() as counter:
            tree = build_search_tree_with_collection(
                roots, widths, torch.ones(20), PositionCollector(asked), noise=noise
            )
        assert counter.reads == reads_a_level * (len(widths) + 1)
        roots = roots.play(tree.chosen)


@pytest.mark.parametrize("savings", [False, True])
def test_a_ply_without_a_finished_game_reads_once_more(savings: bool) -> None:
    """To learn that none has finished; and once for the soundness of all evaluations."""
    asked = model(1000 * savings, savings)
    settings, cpu = SelfPlaySettings(5, (3, 2)), torch.device("cpu")
    batch = GameBatch(settings, PositionCollector(asked), iter(range(20)), 20, cpu, "")
    for _ in range(5):
        with ReadCounter() as counter:
            games = batch.step()
            asked.check()
        assert not games
        assert counter.reads == 2 + 3 * savings


@pytest.mark.parametrize(
    ("read", "reads"),
    [
        (lambda flags: flags.any().item(), 1),
        (lambda flags: bool(flags.any()), 1),
        (lambda flags: flags[flags], 1),
        (lambda flags: flags.nonzero(), 1),
        (lambda flags: flags.unique(), 1),
        (lambda flags: torch.masked_select(flags, flags), 1),
        (lambda flags: flags[torch.tensor([0, 1])], 0),
    ],
)
def test_the_counter_sees_reads(read: Callable[[Tensor], object], reads: int) -> None:
    with ReadCounter() as counter:
        read(torch.tensor([True, False]))
    assert min(counter.reads, 1) == reads


def on_meta(cache_size: int = 0, network: nn.Module | None = None) -> ModelInference:
    """A model whose tensors have a device and no numbers: to read one or to mix it raises."""
    asked = model(cache_size, False)
    if network is not None:
        asked = ModelInference(network, asked.plan, cache_size=0, deduplicate=False)
        asked._network._network.to("meta")
    asked.device = asked._network._device = META
    asked._counts = asked._counts.to(META)
    asked._network.sound = asked._network.sound.to(META)
    return asked


def make_tables(positions: Positions) -> None:
    """Makes the tables of this board size that are kept from then on."""
    positions.play(torch.zeros(len(positions), dtype=torch.int64, device=positions.device))
    orient(positions)
    opponent_has_won(positions)


@pytest.mark.parametrize("widths", [(3, 2), (8, 4)])
def test_every_tensor_of_a_search_lives_on_the_device(widths: tuple[int, ...]) -> None:
    roots = Positions.empty(20, 5, META)
    make_tables(roots)
    collector = PositionCollector(on_meta())
    with OneDevice("meta"), CopyCounter() as counter:
        ids = torch.arange(20, device=META)
        noise = gumbel_noise(1, ids, torch.zeros_like(ids), 25)
        temperatures = torch.ones(20, device=META)
        tree = build_search_tree_with_collection(
            roots, widths, temperatures, collector, noise=noise
        )
        played = roots.play(tree.chosen)
    assert played.device == tree.improved_policy.device == META
    assert counter.copies == 0


@pytest.mark.parametrize("network", [random_network(1), ResNet18(ResNet18Config())])
def test_every_tensor_of_a_network_lives_on_the_device(network: nn.Module) -> None:
    asked = on_meta(network=copy.deepcopy(network))
    roots = Positions.empty(40, 13, META)
    make_tables(roots)
    with OneDevice("meta"), CopyCounter() as counter:
        logits, values = asked.batch_infer(roots)
    assert (logits.device, logits.shape, values.shape) == (META, (40, 169), (40,))
    assert counter.copies == 0


@pytest.mark.parametrize("opening", ["uniform", "policy", "empty"])
@pytest.mark.parametrize("stop", [(), STOPS])
def test_every_tensor_of_a_ply_lives_on_the_device(opening: str, stop: tuple[str, ...]) -> None:
    """Up to the one read of a ply, which tells what games have ended."""
    settings = SelfPlaySettings(5, (3, 2), opening=opening, stop=stop)
    batch = GameBatch(settings, PositionCollector(on_meta()), iter(range(20)), 20, META, "")
    make_tables(batch._positions)
    with OneDevice("meta"), CopyCounter() as counter:
        with pytest.raises(NotImplementedError, match="nonzero"):
            batch.step()
        assert batch.searches == 20
    assert counter.copies == 0


@pytest.mark.parametrize("opening", OPENINGS)
def test_new_games_are_started_without_a_read(opening: str) -> None:
    settings = SelfPlaySettings(5, (3, 2), opening=opening)
    batch = GameBatch(settings, PositionCollector(on_meta()), iter(range(40)), 20, META, "")
    batch._start_games(torch.arange(20, device=META))
    assert len(batch) == 20


@pytest.mark.parametrize("savings", [False, True])
def test_nothing_of_a_ply_is_made_of_numbers_of_the_host(savings: bool) -> None:
    asked = model(1000 * savings, savings)
    settings, cpu = SelfPlaySettings(5, (3, 2), stop=STOPS), torch.device("cpu")
    batch = GameBatch(settings, PositionCollector(asked), iter(range(20)), 20, cpu, "")
    batch.step()
    with CopyCounter() as counter:
        assert not batch.step()
    assert counter.copies == 0


def test_the_ways_to_wait_and_to_mix_are_noticed() -> None:
    flags = torch.ones(2, dtype=torch.bool, device=META)
    for wrong in (
        flags.nonzero,
        flags.tolist,
        flags.cpu,
        lambda: bool(flags),
        lambda: flags & torch.ones(2),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()
    rows = torch.tensor([0, 1])
    for mixed in (lambda: flags[rows], lambda: rows.to(META)):
        with OneDevice("meta"), pytest.raises(AssertionError, match="not meta"):
            mixed()
    with CopyCounter() as counter:
        torch.tensor([1], device=META)
        torch.as_tensor(1, device=META)
        torch.where(flags, 1, 2)
    assert counter.copies == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore:called a synchronizing CUDA operation")
@pytest.mark.parametrize("opening", OPENINGS)
def test_a_gpu_is_waited_for_no_more_often_than_was_counted(opening: str) -> None:
    """By torch's own alarm. A ply with finished games copies them to the host as well."""
    asked = model(0, False, "cuda")
    settings, gpu = SelfPlaySettings(5, (3, 2), opening=opening), torch.device("cuda")
    batch = GameBatch(settings, PositionCollector(asked), iter(range(400)), 20, gpu, "")
    batch.step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for _ in range(30):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ended = batch.step()
            waits = [str(each.message) for each in caught if "synchronizing" in str(each.message)]
            assert len(waits) <= 1 + bool(ended), waits
    finally:
        torch.cuda.set_sync_debug_mode("default")
