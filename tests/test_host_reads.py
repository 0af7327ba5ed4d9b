"""What the host reads from the device, and that every tensor of a ply lives there.

Reads are counted on the CPU, where they cost nothing, by the operations that would make the host
wait for a GPU. That no tensor is on the wrong device is shown with meta tensors, which have a
shape and a type but no numbers.
"""

from collections.abc import Callable

import pytest
import torch
from inference_toys import HashNetwork
from read_counter import ReadCounter
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import PositionCollector, build_search_tree_with_collection
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.move_choice import gumbel_noise
from hex_ai.selfplay.lane import Lane, SelfPlaySettings


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
    lane = Lane(settings, PositionCollector(asked), iter(range(20)), 20, cpu, "")
    for _ in range(5):
        with ReadCounter() as counter:
            games = lane.step()
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


@pytest.mark.parametrize("widths", [(3, 2), (8, 4)])
def test_every_tensor_of_a_search_lives_on_the_device(widths: tuple[int, ...]) -> None:
    """Meta tensors have a device and no numbers: to read one or to mix it with others raises."""
    asked = model(0, False)
    asked.device = torch.device("meta")
    for name in ("_sound", "_counts"):
        setattr(asked, name, getattr(asked, name).to("meta"))
    roots = Positions.empty(20, 5, "meta")
    ids = torch.arange(20, device="meta")
    noise = gumbel_noise(1, ids, torch.zeros_like(ids), 25)
    heat = torch.ones(20, device="meta")
    tree = build_search_tree_with_collection(
        roots, widths, heat, PositionCollector(asked), noise=noise
    )
    assert roots.play(tree.chosen).device == tree.improved_policy.device == heat.device


def test_meta_tensors_notice() -> None:
    flags = torch.ones(2, dtype=torch.bool, device="meta")
    for wrong in (flags.nonzero, flags.tolist, lambda: bool(flags), lambda: flags & torch.ones(2)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()
